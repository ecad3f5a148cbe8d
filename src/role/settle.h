/*
 * settle: what only the start of a process needed goes back to the system.
 */
#pragma once

/*
 * Freed memory, and the mapped pages of programs and libraries, of which most
 * were read once: relocations, the configuration, the sandbox.  Those that are
 * used again come back from the page cache, a few microseconds for 64 KiB.
 * Once, when the process is about to wait for work.
 */
void role_settle(void);
