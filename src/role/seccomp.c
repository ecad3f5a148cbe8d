/*
 * seccomp: which system calls a role may make.
 *
 * A list of what is allowed, by sets.  Anything else answers EPERM and is
 * noted by the kernel; what only an intruder would call (another program, a
 * debugger, a kernel module) ends the process, and the master says that the
 * sandbox did it.
 */
#include <errno.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "role/sandbox.h"

/* Names, not numbers: a call that an architecture lacks is left out. */

#define END NULL

static const char *const every[] = { "read", "write", "readv", "writev",
	"pread64", "preadv", "close", "lseek", "fstat", "newfstatat", "fcntl",
	"dup", "dup2", "dup3", "pipe2", "eventfd2", "socketpair",
	"epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait",
	"epoll_pwait2", "poll", "ppoll", "select", "pselect6", "recvmsg",
	"recvmmsg", "sendmsg", "sendmmsg", "recvfrom", "sendto", "getsockopt",
	"setsockopt", "getsockname", "getpeername", "shutdown", "clock_gettime",
	"clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time",
	"timerfd_create", "timerfd_settime", "futex", "munmap", "mremap",
	"madvise", "brk", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn",
	"sigaltstack", "exit", "exit_group", "getpid", "getppid", "gettid",
	"getuid", "geteuid", "getgid", "getegid", "getrandom",
	"restart_syscall", "sched_yield", "sched_getaffinity", "getcpu",
	"uname", "sysinfo", "getrusage", "times", "rseq", "set_robust_list",
	"get_robust_list", "membarrier", "set_tid_address", "arch_prctl", END };

static const char *const accepting[] = { "accept", "accept4", END };

static const char *const connecting[] = { "connect", "bind", END };

static const char *const reading[] = { "open", "openat", "stat", "lstat",
	"statx", "access", "faccessat", "faccessat2", "getdents64", "readlink",
	"readlinkat", "getcwd", "fadvise64", "readahead", "statfs", "fstatfs",
	"flock", END };

static const char *const writing[] = { "pwrite64", "pwritev", "ftruncate",
	"truncate", "fallocate", "fsync", "fdatasync", "sync_file_range",
	"copy_file_range", "rename", "renameat", "renameat2", "unlink",
	"unlinkat", "mkdir", "mkdirat", "rmdir", "link", "linkat", "chmod",
	"fchmod", "fchmodat", "utimensat", "umask", "syncfs", END };

static const char *const splicing[] = { "sendfile", "splice", END };

static const char *const fatal[] = { "execve", "execveat", "ptrace",
	"process_vm_readv", "process_vm_writev", "init_module", "finit_module",
	"delete_module", "kexec_load", "kexec_file_load", "mount", "umount2",
	"pivot_root", "chroot", "setns", "unshare", "bpf", "perf_event_open",
	"userfaultfd", "keyctl", "add_key", "request_key", "open_by_handle_at",
	"io_uring_setup", END };

/* The calls of a list that this architecture has. */
static int
add_list(scmp_filter_ctx ctx, uint32_t action, const char *const *names)
{
	int rc = 0;

	for (; rc == 0 && *names != END; names++) {
		int nr = seccomp_syscall_resolve_name(*names);

		if (nr >= 0)
			rc = seccomp_rule_add(ctx, action, nr, 0);
	}
	return rc;
}

/* Calls whose arguments decide, for every role. */
static int
add_guarded(scmp_filter_ctx ctx, unsigned calls)
{
	static const unsigned long ioctls[] = { FIONREAD, FIONBIO, TCGETS,
		TIOCGWINSZ };
	bool load = (calls & SANDBOX_LOAD) != 0;
	uint64_t exec = load ? 0 : PROT_EXEC;
	int rc;

	/* Memory that can be run only where libraries come late. */
	rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
	    SCMP_A2(SCMP_CMP_MASKED_EQ, exec, 0));
	if (rc == 0)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect),
		    1, SCMP_A2(SCMP_CMP_MASKED_EQ, exec, 0));
	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(ioctls); i++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
		    SCMP_A1(SCMP_CMP_EQ, ioctls[i]));
	if (rc == 0)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
		    SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME));
	/* Its own threads only: abort() and the like. */
	if (rc == 0)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
		    SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid()));
	/* Limits may be read, not set. */
	if (rc == 0)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(prlimit64),
		    1, SCMP_A2(SCMP_CMP_EQ, 0));
	return rc;
}

static int
add_sockets(scmp_filter_ctx ctx)
{
	/* Netlink: the C library asks which addresses the system has. */
	static const int families[] = { AF_UNIX, AF_INET, AF_INET6,
		AF_NETLINK };
	int rc = add_list(ctx, SCMP_ACT_ALLOW, connecting);

	for (size_t i = 0; rc == 0 && i < ARRAY_LEN(families); i++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
		    SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)families[i]));
	return rc;
}

/* CLONE_THREAD: a thread, not a process. */
static int
add_threads(scmp_filter_ctx ctx)
{
	const uint64_t thread = 0x00010000;
	int rc;

	rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
	    SCMP_A0(SCMP_CMP_MASKED_EQ, thread, thread));
	/* Its flags lie in memory, where no filter can look: the C library
	 * then falls back to clone. */
	if (rc == 0)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(ENOSYS),
		    SCMP_SYS(clone3), 0);
	return rc;
}

static int
add_sets(scmp_filter_ctx ctx, unsigned calls)
{
	int rc = add_list(ctx, SCMP_ACT_ALLOW, every);

	if (rc == 0)
		rc = add_list(ctx, SCMP_ACT_KILL_PROCESS, fatal);
	if (rc == 0)
		rc = add_guarded(ctx, calls);
	if (rc == 0 && (calls & SANDBOX_ACCEPT))
		rc = add_list(ctx, SCMP_ACT_ALLOW, accepting);
	if (rc == 0 && (calls & SANDBOX_CONNECT))
		rc = add_sockets(ctx);
	if (rc == 0 && (calls & SANDBOX_READ))
		rc = add_list(ctx, SCMP_ACT_ALLOW, reading);
	if (rc == 0 && (calls & SANDBOX_WRITE))
		rc = add_list(ctx, SCMP_ACT_ALLOW, writing);
	if (rc == 0 && (calls & SANDBOX_SPLICE))
		rc = add_list(ctx, SCMP_ACT_ALLOW, splicing);
	if (rc == 0 && (calls & SANDBOX_THREADS))
		rc = add_threads(ctx);
	return rc;
}

bool
seccomp_available(void)
{
	return prctl(PR_GET_SECCOMP) >= 0;
}

enum err
seccomp_enforce(const struct sandbox_rights *rights, struct errtext *et)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int rc;

	if (ctx == NULL)
		return err_set(et, ERR_NOMEM, "seccomp");
	/* All threads; refusals are noted by the kernel; a search tree
	 * instead of a chain, as every call passes here. */
	(void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	(void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_LOG, 1);
	(void)seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	rc = add_sets(ctx, rights->calls);
	if (rc == 0)
		rc = seccomp_load(ctx);
	seccomp_release(ctx);
	if (rc != 0)
		return err_sys(et, -rc, "seccomp");
	return OK;
}
