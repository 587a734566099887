/* SQLite's file system with faults: the n-th write, truncation or sync fails. */
#pragma once

#include <stdbool.h>

/* Makes it SQLite's default for the rest of the process. */
void faulty_vfs_install(void);
/* The n-th operation from now on fails, once; 0: none. */
void faulty_vfs_fail_at(int n);
/* Has it failed? */
bool faulty_vfs_has_failed(void);
