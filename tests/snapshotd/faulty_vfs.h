/* SQLite's file system with faults, and told: the n-th write, truncation or sync fails, and an
 * observer hears of all that change what a power loss would leave. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Makes it SQLite's default for the rest of the process. */
void faulty_vfs_install(void);
/* The n-th operation from now on fails, once; 0: none. */
void faulty_vfs_fail_at(int n);
/* Has it failed? */
bool faulty_vfs_has_failed(void);

enum vfs_change_kind {
    VFS_WRITE,    /* `len` bytes of `data` at `offset` */
    VFS_TRUNCATE, /* to `offset` bytes */
    VFS_SYNC,     /* all changes of the file before are durable */
    VFS_REMOVE,
};

struct vfs_change {
    enum vfs_change_kind kind;
    const char *path;
    const void *data;
    size_t len;
    int64_t offset;
};

/* Calls `fn` after every change of a named file that succeeded. What it is given is borrowed. NULL:
 * nobody is told. */
typedef void (*vfs_observer_fn)(const struct vfs_change *change);
void faulty_vfs_observe(vfs_observer_fn fn);
