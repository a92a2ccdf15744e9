/* SPDX-License-Identifier: GPL-2.0-or-later */
/* priv.c - give up what start-up needed
 *
 * Netlink requests, sysctls below net, raw sockets and BPF need capabilities all our life, so a second process would
 * remove little; what goes is the identity of root (its files) and every other capability, also from the bounding set;
 * and then the system calls that only start-up makes. */
#ifdef HAVE_CONFIG_H
#include <config.h>
#endif

#include "priv.h"

#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/nsfs.h>
#include <linux/sockios.h>
#include <pwd.h>
#include <seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <ucontext.h>
#include <unistd.h>

static int fail(char *reterr, const char *what, int error)
{
	(void)snprintf(reterr, PRIV_ERR, "cannot give up privileges: %.120s: %s", what, strerror(error));
	return -error;
}

/* NULL in *ret = stay who we are. */
static int find_user(const char *user, struct passwd **ret, char *reterr)
{
	struct passwd *pw = NULL;

	if (*user) {
		errno = 0;
		pw = getpwnam(user);
		if (!pw) {
			(void)snprintf(reterr, PRIV_ERR,
				"there is no user '%.60s': make it (useradd --system %.60s) or leave 'user' out", user,
				user);
			return -ENOENT;
		}
		if (geteuid() != 0 && geteuid() != pw->pw_uid) {
			(void)snprintf(reterr, PRIV_ERR,
				"this was not started by root, so it cannot become user '%.60s': leave 'user' out",
				user);
			return -EPERM;
		}
		if (geteuid() == pw->pw_uid)
			pw = NULL; /* the service manager was there before us */
	}
	*ret = pw;
	return 0;
}

static void keep(unsigned capability)
{
	(void)capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET, capability);
}

/* Become it, with what is kept. */
static int become(const struct passwd *pw, char *reterr)
{
	int r;

	if (pw)
		r = capng_change_id((int)pw->pw_uid, (int)pw->pw_gid, CAPNG_DROP_SUPP_GRP | CAPNG_CLEAR_BOUNDING);
	else
		r = capng_apply(
			capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP) ? CAPNG_SELECT_BOTH : CAPNG_SELECT_CAPS);
	if (r != 0) {
		(void)snprintf(reterr, PRIV_ERR, "cannot give up privileges: libcap-ng says %d", r);
		return -EPERM;
	}
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail(reterr, "no_new_privs", errno);
	if (pw && (setuid(0) == 0 || geteuid() != pw->pw_uid)) {
		(void)snprintf(reterr, PRIV_ERR, "cannot give up privileges: root could be regained");
		return -EPERM;
	}
	return 0;
}

int priv_drop(const char *user, bool raw, bool cgroups, const char *const *own, char *reterr)
{
	struct passwd *pw;
	int r = find_user(user, &pw, reterr);

	if (r < 0)
		return r;
	for (; pw && own && *own; own++)
		if (chown(*own, pw->pw_uid, pw->pw_gid) < 0 && errno != ENOENT)
			return fail(reterr, *own, errno);
	capng_clear(CAPNG_SELECT_BOTH);
	keep(CAP_NET_ADMIN);
	keep(CAP_BPF);
	if (raw)
		keep(CAP_NET_RAW);
	if (cgroups)
		keep(CAP_DAC_OVERRIDE);
	return become(pw, reterr);
}

int priv_drop_to(const char *user, unsigned capability, char *reterr)
{
	struct passwd *pw;
	int r = find_user(user, &pw, reterr);

	if (r < 0)
		return r;
	if (!capng_have_capability(CAPNG_PERMITTED, capability)) {
		(void)snprintf(reterr, PRIV_ERR, "the capability was not given to the daemon");
		return -EPERM;
	}
	capng_clear(CAPNG_SELECT_BOTH);
	keep(capability);
	return become(pw, reterr);
}

/* --- the
 * filter ------------------------------------------------------------------------------------------------------ */

/* What the loop, the libraries and a reload need. Not here, and so gone after start-up: starting programs and threads,
 * other users and capabilities, mounts, modules, tracing, signals to others, executable memory. */
static const char *const calls[] = {
	/* loop, time, memory */
	"epoll_wait", "epoll_pwait", "epoll_pwait2", "epoll_ctl", "poll", "ppoll", "read", "readv", "write", "writev",
	"close", "futex", "clock_gettime", "clock_getres", "gettimeofday", "time", "nanosleep", "clock_nanosleep",
	"timerfd_create", "timerfd_settime", "brk", "munmap", "mremap", "madvise", "mlock", "munlock", "msync",
	"restart_syscall", "sched_yield", "getrandom",
	/* files: configuration, state and store; /proc */
	"open", "openat", "stat", "lstat", "fstat", "newfstatat", "statx", "access", "faccessat", "faccessat2", "lseek",
	"fcntl", "pread64", "pwrite64", "fsync", "fdatasync", "ftruncate", "fallocate", "rename", "renameat",
	"renameat2", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir", "chmod", "fchmod", "fchmodat", "getdents64",
	"readlink", "readlinkat", "statfs", "fstatfs", "getcwd", "umask", "dup", "flock",
	/* sockets: which families, below */
	"bind", "listen", "accept", "accept4", "connect", "getsockname", "getpeername", "getsockopt", "setsockopt",
	"sendto", "sendmsg", "sendmmsg", "recvfrom", "recvmsg", "recvmmsg", "shutdown",
	/* ourselves */
	"getpid", "gettid", "getppid", "getuid", "geteuid", "getgid", "getegid", "getrusage", "sched_getaffinity",
	"prlimit64", "getrlimit", "uname", "sysinfo", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack",
	"exit", "exit_group", "tgkill",
	/* as machines of 32 bits call them */
	"_llseek", "clock_gettime64", "clock_nanosleep_time64", "fcntl64", "fstat64", "fstatat64", "fstatfs64",
	"ftruncate64", "futex_time64", "getegid32", "geteuid32", "getgid32", "getuid32", "lstat64", "ppoll_time64",
	"recv", "recvmmsg_time64", "send", "sigreturn", "stat64", "statfs64", "timerfd_settime64", "ugetrlimit",
#ifdef DMM_SANITIZERS /* they look for leaks from another thread */
	"clone", "clone3", "ptrace", "wait4", "prctl", "set_robust_list", "rseq", "process_vm_readv", "arch_prctl",
	"setrlimit",
#endif
	NULL};
/* whose cgroup it is, and when it is empty; libbpf keeps places for descriptors */
static const char *const pin_calls[] = {
	"pidfd_open", "inotify_init1", "inotify_add_watch", "inotify_rm_watch", "memfd_create", "dup3", NULL};

/* SIGSYS: who tests wants to know which. Not safe in a handler, but there is nothing left to break. */
static void on_refused(int signum, siginfo_t *info, void *context)
{
	char text[160], *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, info->si_syscall);
	unsigned long first = 0, second = 0;
	int n;

#ifdef __x86_64__
	first = (unsigned long)((ucontext_t *)context)->uc_mcontext.gregs[REG_RDI];
	second = (unsigned long)((ucontext_t *)context)->uc_mcontext.gregs[REG_RSI];
#else
	(void)context;
#endif
	n = snprintf(text, sizeof(text),
		"error: system call %d (%.60s, with %#lx, %#lx) is not in the list of common/priv.c\n",
		info->si_syscall, name ? name : "?", first, second);
	(void)!write(STDERR_FILENO, text, (size_t)n);
	(void)signal(signum, SIG_DFL);
	(void)raise(signum);
}

static int allow(scmp_filter_ctx f, const char *name, unsigned n, const struct scmp_arg_cmp *conditions)
{
	int call = seccomp_syscall_resolve_name(name);

	/* a machine without it has nothing to allow */
	return call < 0 ? 0 : seccomp_rule_add_array(f, SCMP_ACT_ALLOW, call, n, conditions);
}

static int allow_all(scmp_filter_ctx f, const char *const *names)
{
	int r = 0;

	for (; r == 0 && *names; names++)
		r = allow(f, *names, 0, NULL);
	return r;
}

/* The call name with one of the values as argument. */
static int allow_values(scmp_filter_ctx f, const char *name, unsigned argument, unsigned n, const uint32_t *values)
{
	int r = 0;

	for (unsigned i = 0; r == 0 && i < n;
		i++) /* arguments that are an int: what the upper half holds does not count */
		r = allow(f, name, 1, &SCMP_CMP(argument, SCMP_CMP_MASKED_EQ, 0xffffffff, values[i]));
	return r;
}

#define N(a) (unsigned)(sizeof(a) / sizeof((a)[0]))

int priv_filter(bool load_programs, bool trap, char *reterr)
{
	static const uint32_t families[] = {AF_UNIX, AF_INET6, AF_NETLINK};
	/* terminal or not; number, name, state and address of an interface */
	static const uint32_t ioctls[] = {TCGETS, SIOCGIFINDEX, SIOCGIFNAME, SIOCGIFFLAGS, SIOCGIFHWADDR};
	/* maps that are there: read and fill; look at what is attached */
	static const uint32_t bpf_use[] = {BPF_MAP_LOOKUP_ELEM, BPF_MAP_UPDATE_ELEM, BPF_MAP_DELETE_ELEM,
		BPF_MAP_GET_NEXT_KEY, BPF_MAP_LOOKUP_BATCH, BPF_MAP_UPDATE_BATCH, BPF_MAP_DELETE_BATCH,
		BPF_OBJ_GET_INFO_BY_FD};
	/* whose a network namespace is (hoa-exec --isolate) */
	static const uint32_t namespaces[] = {NS_GET_NSTYPE, NS_GET_USERNS, NS_GET_OWNER_UID};
	/* a pin, and who watches for first packets, have programs of their own */
	static const uint32_t bpf_load[] = {BPF_MAP_CREATE, BPF_PROG_LOAD, BPF_BTF_LOAD, BPF_MAP_FREEZE,
		BPF_PROG_BIND_MAP, BPF_PROG_ATTACH, BPF_PROG_DETACH, BPF_PROG_QUERY};
	struct sigaction action = {.sa_sigaction = on_refused, .sa_flags = SA_SIGINFO};
	/* an unknown call, of a C library to come, fails as on a kernel that lacks it */
	scmp_filter_ctx f = seccomp_init(trap ? SCMP_ACT_TRAP : SCMP_ACT_ERRNO(ENOSYS));
	/* nobody but an intruder calls these */
	static const char *const never[] = {"execve", "execveat", "fork", "vfork", "ptrace", "process_vm_writev",
		"init_module", "finit_module", "kexec_load", "mount", "unshare", "setns", "open_by_handle_at", NULL};
	int r = f ? 0 : -ENOMEM;

	if (r == 0 && trap && sigaction(SIGSYS, &action, NULL) < 0)
		r = -errno;
	if (r == 0)
		r = allow_all(f, calls);
	if (r == 0 && load_programs)
		r = allow_all(f, pin_calls);
	if (r == 0)
		r = allow_values(f, "socket", 0, N(families), families);
	if (r == 0)
		r = allow_values(f, "ioctl", 1, N(ioctls), ioctls);
	if (r == 0 && load_programs)
		r = allow_values(f, "ioctl", 1, N(namespaces), namespaces);
	if (r == 0)
		r = allow_values(f, "bpf", 0, N(bpf_use), bpf_use);
	if (r == 0 && load_programs)
		r = allow_values(f, "bpf", 0, N(bpf_load), bpf_load);
	/* memory, but no code */
	if (r == 0)
		r = allow(f, "mmap", 1, &SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (r == 0)
		r = allow(f, "mmap2", 1, &SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (r == 0)
		r = allow(f, "mprotect", 1, &SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	for (const char *const *p = never; r == 0 && !trap && *p; p++) {
		int call = seccomp_syscall_resolve_name(*p);

#ifdef DMM_SANITIZERS
		if (!strcmp(*p, "ptrace"))
			continue;
#endif
		if (call >= 0)
			r = seccomp_rule_add(f, SCMP_ACT_KILL_PROCESS, call, 0);
	}
	if (r == 0)
		r = seccomp_load(f);
	if (f)
		seccomp_release(f);
	if (r < 0)
		(void)snprintf(reterr, PRIV_ERR,
			"cannot load the filter of system calls (seccomp): %s; 'seccomp = no' goes on without",
			strerror(-r));
	return r;
}

int priv_filter_reader(char *reterr)
{
	static const char *const reads[] = {"read", "recvfrom", "recv", "sendto", "send", "getdents64", "stat",
		"stat64", "newfstatat", "fstatat64", "statx", "fstat", "fstat64", "lseek", "close", "fcntl", "brk",
		"munmap", "exit_group", "rt_sigreturn", "restart_syscall", NULL};
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r = f ? allow_all(f, reads) : -ENOMEM;

#ifdef DMM_SANITIZERS
	if (r == 0)
		r = allow_all(f, calls);
#endif

	if (r == 0)
		r = allow(f, "openat", 1, &SCMP_A2(SCMP_CMP_MASKED_EQ, O_ACCMODE | O_CREAT, O_RDONLY));
	if (r == 0)
		r = allow(f, "mmap", 1, &SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (r == 0)
		r = allow(f, "mmap2", 1, &SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	if (r == 0)
		r = seccomp_load(f);
	if (f)
		seccomp_release(f);
	if (r < 0)
		(void)snprintf(reterr, PRIV_ERR,
			"cannot load the filter of system calls (seccomp): %s; 'seccomp = no' goes on without",
			strerror(-r));
	return r;
}
