/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The filter of system calls: what it refuses, what it ends, and what it names. Each in a process of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/bpf.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "priv.h"

#define NO_FILTER 99

/* What a child in the filter wrote to standard error, and how it ended. */
struct end {
	char text[512];
	int status;
};

static struct end in_filter(bool load_programs, bool trap, int (*what)(void))
{
	struct end e = {0};
	char err[PRIV_ERR];
	int fd[2];
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(fd), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)dup2(fd[1], STDERR_FILENO);
		if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || priv_filter(load_programs, trap, err) < 0)
			_exit(NO_FILTER);
		_exit(what());
	}
	(void)close(fd[1]);
	n = read(fd[0], e.text, sizeof(e.text) - 1);
	assert_true(n >= 0);
	(void)close(fd[0]);
	assert_int_equal(waitpid(pid, &e.status, 0), pid);
	if (WIFEXITED(e.status) && WEXITSTATUS(e.status) == NO_FILTER)
		skip(); /* a kernel, or a container, without it */
	return e;
}

/* What each does is its error, 0 = it went through. */
static int is_on(void)
{
	char line[128];
	FILE *f = fopen("/proc/self/status", "re");
	int r = 1;

	while (f && fgets(line, sizeof(line), f))
		if (!strcmp(line, "Seccomp:\t2\n"))
			r = 0;
	if (f)
		(void)fclose(f);
	return r;
}

static int may_socket(void)
{
	return socket(AF_INET6, SOCK_DGRAM, 0) < 0 || socket(AF_NETLINK, SOCK_RAW, 0) < 0 ||
		socket(AF_UNIX, SOCK_STREAM, 0) < 0;
}
static int may_packet_socket(void)
{
	return socket(AF_PACKET, SOCK_DGRAM, 0) < 0 ? errno : 0;
}
static int may_ipv4(void)
{
	return socket(AF_INET, SOCK_DGRAM, 0) < 0 ? errno : 0;
}
static int may_have_memory(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
}
static int may_have_code(void)
{
	return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? errno : 0;
}
static int may_become_another(void)
{
	return setuid(getuid()) < 0 ? errno : 0;
}
static int may_run(void)
{
	(void)execl("/bin/true", "true", (char *)NULL);
	return errno;
}

static int bpf(int command)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	return syscall(SYS_bpf, command, &attr, sizeof(attr)) < 0 ? errno : 0;
}

static int may_load_bpf(void)
{
	return bpf(BPF_PROG_LOAD) == ENOSYS;
}
static int may_use_map(void)
{
	return bpf(BPF_MAP_LOOKUP_ELEM) == ENOSYS;
}
static int may_pin_bpf(void)
{
	return bpf(BPF_OBJ_PIN) == ENOSYS;
}

static int exit_of(bool load_programs, int (*what)(void))
{
	struct end e = in_filter(load_programs, false, what);

	assert_true(WIFEXITED(e.status));
	return WEXITSTATUS(e.status);
}

static void refused(void **state)
{
	(void)state;
	assert_int_equal(exit_of(true, is_on), 0);
	assert_int_equal(exit_of(true, may_socket), 0);
	assert_int_equal(exit_of(true, may_packet_socket), ENOSYS);
	assert_int_equal(exit_of(true, may_ipv4), ENOSYS);
	assert_int_equal(exit_of(true, may_have_memory), 0);
	assert_int_equal(exit_of(true, may_have_code), ENOSYS);
	assert_int_equal(exit_of(true, may_become_another), ENOSYS);
}

/* Each daemon has the BPF commands that it uses. */
static void commands(void **state)
{
	(void)state;
	assert_int_equal(exit_of(false, may_use_map), 0);
	assert_int_equal(exit_of(false, may_load_bpf), 1);
	assert_int_equal(exit_of(true, may_use_map), 0);
	assert_int_equal(exit_of(true, may_load_bpf), 0);
	assert_int_equal(exit_of(true, may_pin_bpf), 1);
}

static void ended(void **state)
{
	struct end e = in_filter(true, false, may_run);

	(void)state;
	assert_true(WIFSIGNALED(e.status));
	assert_int_equal(WTERMSIG(e.status), SIGSYS);
}

static void named(void **state)
{
	struct end e = in_filter(true, true, may_ipv4);

	(void)state;
	assert_true(WIFSIGNALED(e.status));
	assert_int_equal(WTERMSIG(e.status), SIGSYS);
	assert_non_null(strstr(e.text, "(socket, with 0x2,"));
	e = in_filter(true, true, may_run);
	assert_non_null(strstr(e.text, "(execve,"));
	e = in_filter(true, true, may_socket);
	assert_true(WIFEXITED(e.status) && WEXITSTATUS(e.status) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refused),
		cmocka_unit_test(commands),
		cmocka_unit_test(ended),
		cmocka_unit_test(named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
