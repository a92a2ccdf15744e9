/* SPDX-License-Identifier: GPL-2.0-or-later */
/* pin.c - processes that are pinned to a home address */
#include "pin.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "mnd/pin.bpf.inc" /* the object file as bytes: pin_object[] */

#define ROOT "/sys/fs/cgroup"

struct pinned { /* as in pin.bpf.c */
	struct in6_addr address[1 + PIN_PREVIOUS];
	uint32_t mark;
	uint32_t lenient;
};

const char *pin_type_name(enum pin_type type)
{
	switch (type) {
	case PIN_SESSION:
		return "session";
	case PIN_FIXED:
		return "fixed";
	case PIN_GRACEFUL:
		return "graceful";
	case PIN_TYPES:
		break;
	}
	return "?";
}

enum pin_type pin_type_of(const char *name)
{
	enum pin_type t = PIN_SESSION;

	while (name && t < PIN_TYPES && strcmp(name, pin_type_name(t)) != 0)
		t++;
	return t;
}

uint32_t pin_mark(const struct in6_addr *home_address)
{
	uint32_t h = 2166136261u; /* FNV-1a over the prefix */

	for (int i = 0; i < 8; i++)
		h = (h ^ home_address->s6_addr[i]) * 16777619u;
	return PIN_MARK | ((h ^ h >> 16) & 0x1fff);
}

static int fail(char *reterr, int error, const char *what, const char *cgroup)
{
	(void)snprintf(reterr, PIN_ERR, "cannot %s cgroup %.120s: %s", what, cgroup, strerror(error));
	return -error;
}

static int open_cgroup(const char *cgroup)
{
	char path[sizeof(ROOT) + PIN_CGROUP];
	int fd;

	(void)snprintf(path, sizeof(path), "%s%s", ROOT, cgroup);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

/* The cgroup of a process in the unified hierarchy, as text below ROOT. */
int pin_cgroup_of(pid_t pid, char ret[PIN_CGROUP], char *reterr)
{
	char path[64], line[PIN_CGROUP + 64];
	struct statfs fs;
	FILE *f;
	int r = -ENOENT;

	if (statfs(ROOT, &fs) < 0 || (unsigned long)fs.f_type != CGROUP2_SUPER_MAGIC) {
		(void)snprintf(
			reterr, PIN_ERR, "%s is not a unified cgroup hierarchy (cgroup2), which pinning needs", ROOT);
		return -ENOTSUP;
	}
	(void)snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		char *end = strchr(line, '\n');

		if (strncmp(line, "0::/", 4) != 0 || !end)
			continue;
		*end = '\0';
		r = (size_t)snprintf(ret, PIN_CGROUP, "%s", strcmp(line + 3, "/") ? line + 3 : "") < PIN_CGROUP
			? 0
			: -ENAMETOOLONG;
	}
	if (f)
		(void)fclose(f);
	if (r < 0)
		(void)snprintf(reterr, PIN_ERR, "cannot tell the cgroup of process %d: %s", (int)pid, strerror(-r));
	return r;
}

/* All user identities of the process are uid's. */
static int is_own(pid_t pid, uid_t uid, char command[64], char *reterr)
{
	char path[64], line[256];
	unsigned real = 0, effective = 0, saved = 0;
	bool known = false;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "Name:", 5))
			(void)sscanf(line + 5, " %63[^\n]", command);
		known |= sscanf(line, "Uid: %u %u %u", &real, &effective, &saved) == 3;
	}
	if (f)
		(void)fclose(f);
	if (!known) {
		(void)snprintf(reterr, PIN_ERR, "there is no process %d", (int)pid);
		return -ESRCH;
	}
	if (uid != 0 && (real != uid || effective != uid || saved != uid)) {
		(void)snprintf(reterr, PIN_ERR, "process %d is not yours: only root may pin it", (int)pid);
		return -EPERM;
	}
	return 0;
}

int pin_attach(struct pin *p, char *reterr)
{
	struct pinned value = {.address = {p->home_address}, .mark = pin_mark(&p->home_address), .lenient = p->lenient};
	struct bpf_object *object = bpf_object__open_mem(pin_object, sizeof(pin_object), NULL);
	struct bpf_program *on_socket, *on_egress;
	struct bpf_map *map;
	uint32_t zero = 0;
	struct stat st;
	int r, cgroup = open_cgroup(p->cgroup);

	memcpy(&value.address[1], p->previous, sizeof(p->previous));
	if (cgroup < 0) {
		bpf_object__close(object);
		return fail(reterr, -cgroup, "open", p->cgroup);
	}
	r = object ? bpf_object__load(object) : -ENOMEM;
	if (r == 0 && fstat(cgroup, &st) < 0)
		r = -errno;
	if (r == 0) {
		on_socket = bpf_object__find_program_by_name(object, "on_socket");
		on_egress = bpf_object__find_program_by_name(object, "on_egress");
		map = bpf_object__find_map_by_name(object, "pinned");
		r = bpf_map_update_elem(bpf_map__fd(map), &zero, &value, BPF_ANY);
		/* what may be overridden is replaced: by us after a restart, and by a pin inside this one */
		if (r == 0)
			r = bpf_prog_attach(
				bpf_program__fd(on_egress), cgroup, BPF_CGROUP_INET_EGRESS, BPF_F_ALLOW_OVERRIDE);
		if (r == 0)
			r = bpf_prog_attach(
				bpf_program__fd(on_socket), cgroup, BPF_CGROUP_INET_SOCK_CREATE, BPF_F_ALLOW_OVERRIDE);
	}
	bpf_object__close(object);
	(void)close(cgroup);
	if (r == -EPERM || r == -EACCES)
		(void)snprintf(reterr, PIN_ERR,
			"cannot put a BPF program on cgroup %.120s: %s (is it in a cgroup of 'ip vrf exec', or one with IPAccounting or IPAddressDeny?)",
			p->cgroup, strerror(-r));
	else if (r < 0)
		return fail(reterr, -r, "put a BPF program on", p->cgroup);
	else {
		p->inode = st.st_ino;
		p->stale = false;
	}
	return r;
}

bool pin_has(const struct pin *p, const struct in6_addr *home_address)
{
	bool has = IN6_ARE_ADDR_EQUAL(&p->home_address, home_address);

	for (unsigned i = 0; i < PIN_PREVIOUS; i++)
		has |= IN6_ARE_ADDR_EQUAL(&p->previous[i], home_address);
	return has;
}

void pin_follow(struct pin *p, const struct in6_addr *home_address)
{
	struct in6_addr before[PIN_PREVIOUS];
	unsigned n = 1;

	memcpy(before, p->previous, sizeof(before));
	memset(p->previous, 0, sizeof(p->previous));
	p->previous[0] = p->home_address;
	for (unsigned i = 0; i < PIN_PREVIOUS && n < PIN_PREVIOUS; i++)
		if (!IN6_ARE_ADDR_EQUAL(&before[i], home_address))
			p->previous[n++] = before[i];
	p->home_address = *home_address;
	p->stale = true;
}

void pin_detach(const struct pin *p)
{
	int cgroup = open_cgroup(p->cgroup);

	if (cgroup < 0)
		return;
	(void)bpf_prog_detach(cgroup, BPF_CGROUP_INET_SOCK_CREATE);
	(void)bpf_prog_detach(cgroup, BPF_CGROUP_INET_EGRESS);
	(void)close(cgroup);
}

static int move(int cgroup, pid_t pid)
{
	int fd = openat(cgroup, "cgroup.procs", O_WRONLY | O_CLOEXEC), r = 0;
	char text[16];

	if (fd < 0)
		return -errno;
	(void)snprintf(text, sizeof(text), "%d", (int)pid);
	if (write(fd, text, strlen(text)) < 0)
		r = -errno;
	(void)close(fd);
	return r;
}

static void remove_cgroup(const char *cgroup)
{
	char path[sizeof(ROOT) + PIN_CGROUP];

	(void)snprintf(path, sizeof(path), "%s%s", ROOT, cgroup);
	(void)rmdir(path);
}

/* The cgroup parent becomes the pin. */
static int begin_in_place(const char *parent, uid_t uid, struct pin *ret, char *reterr)
{
	int dir = open_cgroup(parent);
	struct stat st;

	if (dir < 0 || fstat(dir, &st) < 0)
		return fail(reterr, dir < 0 ? -dir : errno, "open", parent);
	(void)close(dir);
	if (!*parent || (uid != 0 && st.st_uid != uid)) {
		(void)snprintf(reterr, PIN_ERR,
			"cgroup %.120s/ is not yours: only root may pin it as a whole, and nobody the root of all",
			parent);
		return -EPERM;
	}
	ret->in_place = true;
	(void)snprintf(ret->cgroup, sizeof(ret->cgroup), "%s", parent);
	return pin_attach(ret, reterr);
}

int pin_begin_cgroup(const char *cgroup, bool lenient, enum pin_type type, const struct in6_addr *home_address,
	uint64_t now_s, struct pin *ret, char *reterr)
{
	char path[sizeof(ROOT) + PIN_CGROUP];
	struct stat st;

	memset(ret, 0, sizeof(*ret));
	(void)snprintf(path, sizeof(path), "%s%s", ROOT, cgroup);
	if (stat(path, &st) < 0)
		return fail(reterr, errno, "find", cgroup);
	ret->lenient = lenient;
	ret->type = type;
	ret->home_address = *home_address;
	ret->uid = st.st_uid;
	ret->since_s = now_s;
	(void)snprintf(
		ret->command, sizeof(ret->command), "%.*s", (int)sizeof(ret->command) - 1, strrchr(cgroup, '/') + 1);
	return begin_in_place(cgroup, 0, ret, reterr);
}

int pin_begin(pid_t pid, uid_t uid, bool in_place, bool lenient, enum pin_type type,
	const struct in6_addr *home_address, uint64_t now_s, struct pin *ret, char *reterr)
{
	char parent[PIN_CGROUP], name[48];
	/* holds the number: whoever it is that we look at, is who is moved */
	int process = (int)syscall(SYS_pidfd_open, pid, 0), dir = -1, cgroup = -1, r;
	struct pollfd ended = {.fd = process, .events = POLLIN};

	memset(ret, 0, sizeof(*ret));
	if (process < 0) {
		(void)snprintf(reterr, PIN_ERR, "there is no process %d", (int)pid);
		return -ESRCH;
	}
	ret->lenient = lenient;
	ret->type = type;
	ret->home_address = *home_address;
	ret->uid = uid;
	ret->pid = pid;
	ret->since_s = now_s;
	r = is_own(pid, uid, ret->command, reterr);
	if (r == 0)
		r = pin_cgroup_of(pid, parent, reterr);
	if (r == 0 && poll(&ended, 1, 0) != 0) {
		(void)snprintf(reterr, PIN_ERR, "process %d has ended", (int)pid);
		r = -ESRCH;
	}
	if (r == 0 && in_place)
		r = begin_in_place(parent, uid, ret, reterr);
	if (r < 0 || in_place)
		goto out;
	(void)snprintf(name, sizeof(name), "hoa-exec-%d-%llu", (int)pid, (unsigned long long)now_s);
	if ((size_t)snprintf(ret->cgroup, sizeof(ret->cgroup), "%s/%s", parent, name) >= sizeof(ret->cgroup)) {
		r = fail(reterr, ENAMETOOLONG, "make", name);
		goto out;
	}
	dir = open_cgroup(parent);
	if (dir < 0 || mkdirat(dir, name, 0755) < 0) {
		r = fail(reterr, dir < 0 ? -dir : errno, "make", ret->cgroup);
		goto out;
	}
	r = pin_attach(ret, reterr);
	if (r == 0) {
		cgroup = open_cgroup(ret->cgroup);
		r = cgroup < 0 ? cgroup : move(cgroup, pid);
		if (r < 0)
			(void)fail(reterr, -r, "move the process to", ret->cgroup);
	}
	if (r < 0)
		remove_cgroup(ret->cgroup);
out:
	if (r < 0)
		ret->cgroup[0] = '\0';
	if (cgroup >= 0)
		(void)close(cgroup);
	if (dir >= 0)
		(void)close(dir);
	(void)close(process);
	return r;
}

bool pin_is_over(const struct pin *p)
{
	char path[sizeof(ROOT) + PIN_CGROUP + 16], line[64];
	bool populated = false;
	struct stat st;
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s%s", ROOT, p->cgroup);
	if (p->inode && stat(path, &st) == 0 && st.st_ino != p->inode)
		return true;
	(void)snprintf(path, sizeof(path), "%s%s/cgroup.events", ROOT, p->cgroup);
	f = fopen(path, "re");
	if (!f)
		return errno == ENOENT || errno == ENODEV; /* else we do not know: it lives */
	if (p->in_place) {				   /* empty between the programs of its unit, too */
		(void)fclose(f);
		return false;
	}
	while (fgets(line, sizeof(line), f))
		populated |= !strcmp(line, "populated 1\n");
	(void)fclose(f);
	if (!populated)
		remove_cgroup(p->cgroup);
	return !populated;
}

int pin_watch(const struct pin *p, int fd)
{
	char path[sizeof(ROOT) + PIN_CGROUP + 16];

	(void)snprintf(path, sizeof(path), "%s%s/cgroup.events", ROOT, p->cgroup);
	if (p->in_place) { /* what goes in the directory that it is in */
		*strrchr(path, '/') = '\0';
		*strrchr(path, '/') = '\0';
		return inotify_add_watch(fd, path, IN_DELETE | IN_ONLYDIR) < 0 ? -errno : 0;
	}
	return inotify_add_watch(fd, path, IN_MODIFY | IN_DELETE_SELF) < 0 ? -errno : 0;
}
