/*
 * Limits of memory below memory_budget: those of cgroups in a folder that
 * stands for /, those of the process through setrlimit.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "role/machine.h"

#define MIB ((int64_t)1 << 20)

/* NAME below root, with its folders. */
static void
put(const char *root, const char *name, const char *text)
{
	char path[4096];
	size_t len;
	FILE *f;

	snprintf(path, sizeof(path), "%s%s", root, name);
	len = strlen(root);
	for (char *p = path + len + 1; (p = strchr(p, '/')) != NULL; p++) {
		*p = '\0';
		mkdir(path, 0755);
		*p = '/';
	}
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static const struct {
	const char *why;
	const char *own;	/* /proc/self/cgroup; NULL: there is none */
	const char *file, *max; /* one limit */
	const char *said;	/* "": it fits */
} rows[] = {
	{ "no cgroups", NULL, "/x", "", "" },
	{ "version 2, one below", "0::/a/b\n", "/sys/fs/cgroup/a/b/memory.max",
	    "134217727\n",
	    "value \"128M\": only 134217727 are allowed; lower memory_budget, "
	    "or raise what MemoryMax= sets, ROOT"
	    "/sys/fs/cgroup/a/b/memory.max" },
	{ "just as much", "0::/a/b\n", "/sys/fs/cgroup/a/b/memory.max",
	    "134217728\n", "" },
	{ "one more", "0::/a/b\n", "/sys/fs/cgroup/a/b/memory.max",
	    "134217729\n", "" },
	{ "a hundredth", "0::/a/b\n", "/sys/fs/cgroup/a/b/memory.max",
	    "1048576\n", "only 1M are" },
	{ "none", "0::/a/b\n", "/sys/fs/cgroup/a/b/memory.max", "max\n", "" },
	{ "of the one above", "0::/a/b\n", "/sys/fs/cgroup/a/memory.max",
	    "67108864\n", "MemoryMax= sets, ROOT/sys/fs/cgroup/a/mem" },
	{ "at the top, in a container", "0::/\n", "/sys/fs/cgroup/memory.max",
	    "67108864\n", "only 64M are" },
	{ "of somebody else", "0::/a/b\n", "/sys/fs/cgroup/a/bc/memory.max",
	    "67108864\n", "" },
	{ "version 2 beside 1", "3:cpu:/x\n0::/a\n",
	    "/sys/fs/cgroup/unified/a/memory.max", "67108864\n",
	    "only 64M are" },
	{ "version 1", "9:cpu,memory:/a\n3:pids:/b\n",
	    "/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "104857600\n",
	    "MemoryMax= sets, ROOT/sys/fs/cgroup/memory/a/memory.li" },
	{ "version 1, no name space", "9:memory:/docker/0123\n",
	    "/sys/fs/cgroup/memory/memory.limit_in_bytes", "104858624\n",
	    "only 102401K are" },
	{ "version 1, none", "9:memory:/a\n",
	    "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
	    "9223372036854771712\n", "" },
	{ "another controller", "9:memoryx:/a\n",
	    "/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "104857600\n",
	    "" },
	{ "nonsense", "x\n:\n0::\nx::a\n", "/sys/fs/cgroup/a/memory.max",
	    "1x\n", "" },
};

static void
test_cgroups(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char root[] = "/tmp/weir-machine-XXXXXX", want[300], rm[64];
		struct errtext et = { "" };
		const char *at;
		enum err e;

		print_message("%s\n", rows[i].why);
		assert_non_null(mkdtemp(root));
		if (rows[i].own != NULL)
			put(root, "/proc/self/cgroup", rows[i].own);
		put(root, rows[i].file, rows[i].max);
		e = machine_memory(root, 128 * MIB, &et);
		assert_int_equal(e, rows[i].said[0] ? ERR_CONFIG : OK);
		at = strstr(rows[i].said, "ROOT");
		if (at == NULL)
			snprintf(want, sizeof(want), "%s", rows[i].said);
		else
			snprintf(want, sizeof(want), "%.*s%s%s",
			    (int)(at - rows[i].said), rows[i].said, root,
			    at + 4);
		if (strstr(et.text, want) == NULL)
			fail_msg("\"%s\" is not in \"%s\"", want, et.text);
		snprintf(rm, sizeof(rm), "rm -r %s", root);
		assert_int_equal(system(rm), 0);
	}
}

static const struct {
	int what;
	const char *name;
} limits[] = {
	{ RLIMIT_DATA, "RLIMIT_DATA" },
	{ RLIMIT_AS, "RLIMIT_AS" },
};

/* In a child: 0 where it fits, 1 where the text names both numbers. */
static int
with_rlimit(size_t i, int64_t bytes)
{
	const struct rlimit rl = { (rlim_t)bytes, (rlim_t)bytes };
	struct errtext et = { "" };
	char want[40];
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		snprintf(want, sizeof(want), " sets, %s", limits[i].name);
		if (setrlimit(limits[i].what, &rl) != 0)
			_exit(2);
		if (machine_memory("/nonexistent", 4096 * MIB, &et) == OK)
			_exit(0);
		_exit(strstr(et.text, want) != NULL &&
			      strstr(et.text, "\"4096M\": only ") != NULL
			  ? 1
			  : 3);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void
test_rlimits(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		assert_int_equal(with_rlimit(i, 4096 * MIB - 1), 1);
		assert_int_equal(with_rlimit(i, 4096 * MIB), 0);
		assert_int_equal(with_rlimit(i, 4096 * MIB + 1), 0);
		assert_int_equal(with_rlimit(i, 1024 * MIB), 1);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cgroups),
		cmocka_unit_test(test_rlimits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
