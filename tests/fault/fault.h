/*
 * fault: makes the n-th call of a function of the file system fail, in tests. As the library
 * `concord_fault.so` it is loaded into real daemons with LD_PRELOAD; linked into a unit test it
 * does the same there. What does not fail goes to the kernel as ever.
 *
 * A rule is five words with colons between them:
 *
 *     FUNCTION:PATH:N:ERROR:MODE          pwritev:/rooms/:3:ENOSPC:once
 *
 * FUNCTION  pwrite, pwritev, write, fallocate, ftruncate, rename, fdatasync or fsync; `any` for all
 * PATH      calls count whose file's path has this in it; of rename(2), either path; may be empty
 * N         which call fails, counted from 1 since the rule was set, in all processes together that
 *           a fork has made
 * ERROR     EIO, ENOSPC, EDQUOT or EROFS; KILL: the process dies by SIGKILL at that call
 * MODE      once, or on: that call and all after it
 *
 * The environment variable FAULT holds the rule, or `@FILE`: then the rule is what the file holds
 * at the moment of a call. No file, no rule; another text, counted anew. Each call that failed is
 * noted in FILE.hits, a line each: function, path.
 */
#pragma once

/* For unit tests. NULL: nothing fails. */
void fault_set(const char *rule);
/* Calls that failed since then. */
unsigned fault_hits(void);
