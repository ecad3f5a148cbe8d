/*
 * assert: interface violations and broken invariants, always compiled in.
 *
 * A failed ASSERT is a bug of ours: the process writes one line and aborts,
 * the master restarts it, mail is safe in the log.  Never ASSERT on bytes
 * from the network, the disk, another role, a user's file or the environment.
 */
#pragma once

#define ASSERT(cond)                                                        \
	do {                                                                \
		if (__builtin_expect(!(cond), 0))                           \
			assert_failed(#cond, __FILE__, __LINE__, __func__); \
	} while (0)

_Noreturn void assert_failed(const char *cond, const char *file, int line,
    const char *func);
