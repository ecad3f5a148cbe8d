/*
 * machine: how much memory the machine lets Weir have.
 *
 * A cgroup (memory.max of version 2, memory.limit_in_bytes of version 1, its
 * own or one above it) or RLIMIT_DATA or RLIMIT_AS below memory_budget would
 * make a promise empty that is given at the start: the kernel ends a role
 * before its accounts refuse anything.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"

/*
 * machine_memory(root, budget_bytes, et):
 * root  "" for this machine.  Else a folder that stands for /, with
 *       proc/self/cgroup and sys/fs/cgroup below it: for tests, which cannot
 *       make cgroups everywhere.  Limits of the process (setrlimit) are
 *       always its own.
 *
 * OK: budget_bytes fit.  ERR_CONFIG: they do not; the text names both numbers
 * and what to change.  What cannot be read (no cgroups) limits nothing.
 * Blocks on files of the kernel only.
 */
MUST_CHECK enum err machine_memory(const char *root, int64_t budget_bytes,
    struct errtext *et);
