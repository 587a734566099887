#include "tests/snapshotd/faulty_vfs.h"

#include <sqlite3.h>
#include <string.h>

/* Our file and behind it the real one. */
struct faulty_file {
    sqlite3_file base;
    sqlite3_file *real;
    const char *path; /* NULL: a temporary one */
};

static sqlite3_vfs *real_vfs;
static int countdown;
static bool has_failed;
static vfs_observer_fn observer;

void faulty_vfs_fail_at(int n)
{
    countdown = n;
    has_failed = false;
}

bool faulty_vfs_has_failed(void)
{
    return has_failed;
}

static bool fails_now(void)
{
    if (countdown == 0 || --countdown > 0)
        return false;
    has_failed = true;
    return true;
}

void faulty_vfs_observe(vfs_observer_fn fn)
{
    observer = fn;
}

/* Tells the observer of a change, if it succeeded; returns its result. */
static int tell(int code, const struct vfs_change *change)
{
    if (code == SQLITE_OK && change->path && observer)
        observer(change);
    return code;
}

static const char *path_of(sqlite3_file *file)
{
    return ((struct faulty_file *)file)->path;
}

static sqlite3_file *real_of(sqlite3_file *file)
{
    return ((struct faulty_file *)file)->real;
}

/* Passes a method on to the real file. */
#define PASS(name, params, args)                                                                   \
    static int faulty_##name params                                                                \
    {                                                                                              \
        sqlite3_file *real = real_of(file);                                                        \
        return real->pMethods->name args;                                                          \
    }

PASS(xClose, (sqlite3_file * file), (real))
PASS(xRead, (sqlite3_file * file, void *p, int n, sqlite3_int64 at), (real, p, n, at))
PASS(xFileSize, (sqlite3_file * file, sqlite3_int64 *size), (real, size))
PASS(xLock, (sqlite3_file * file, int kind), (real, kind))
PASS(xUnlock, (sqlite3_file * file, int kind), (real, kind))
PASS(xCheckReservedLock, (sqlite3_file * file, int *ret), (real, ret))
PASS(xFileControl, (sqlite3_file * file, int op, void *p), (real, op, p))
PASS(xSectorSize, (sqlite3_file * file), (real))
PASS(xDeviceCharacteristics, (sqlite3_file * file), (real))
PASS(xShmMap, (sqlite3_file * file, int page, int size, int extend, void volatile **p),
     (real, page, size, extend, p))
PASS(xShmLock, (sqlite3_file * file, int offset, int n, int flags), (real, offset, n, flags))
PASS(xShmUnmap, (sqlite3_file * file, int remove), (real, remove))

static void faulty_xShmBarrier(sqlite3_file *file)
{
    sqlite3_file *real = real_of(file);
    real->pMethods->xShmBarrier(real);
}

static int faulty_xWrite(sqlite3_file *file, const void *data, int len, sqlite3_int64 at)
{
    struct vfs_change change = {VFS_WRITE, path_of(file), data, (size_t)len, at};
    sqlite3_file *real = real_of(file);

    return fails_now() ? SQLITE_IOERR_WRITE
                       : tell(real->pMethods->xWrite(real, data, len, at), &change);
}

static int faulty_xTruncate(sqlite3_file *file, sqlite3_int64 size)
{
    struct vfs_change change = {.kind = VFS_TRUNCATE, .path = path_of(file), .offset = size};
    sqlite3_file *real = real_of(file);

    return fails_now() ? SQLITE_IOERR_TRUNCATE
                       : tell(real->pMethods->xTruncate(real, size), &change);
}

static int faulty_xSync(sqlite3_file *file, int flags)
{
    struct vfs_change change = {.kind = VFS_SYNC, .path = path_of(file)};
    sqlite3_file *real = real_of(file);

    return fails_now() ? SQLITE_IOERR_FSYNC : tell(real->pMethods->xSync(real, flags), &change);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = faulty_xClose,
    .xRead = faulty_xRead,
    .xWrite = faulty_xWrite,
    .xTruncate = faulty_xTruncate,
    .xSync = faulty_xSync,
    .xFileSize = faulty_xFileSize,
    .xLock = faulty_xLock,
    .xUnlock = faulty_xUnlock,
    .xCheckReservedLock = faulty_xCheckReservedLock,
    .xFileControl = faulty_xFileControl,
    .xSectorSize = faulty_xSectorSize,
    .xDeviceCharacteristics = faulty_xDeviceCharacteristics,
    .xShmMap = faulty_xShmMap,
    .xShmLock = faulty_xShmLock,
    .xShmBarrier = faulty_xShmBarrier,
    .xShmUnmap = faulty_xShmUnmap,
};

static int open_file(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *file, int flags,
                     int *ret_flags)
{
    struct faulty_file *f = (struct faulty_file *)file;

    (void)vfs;
    f->base.pMethods = NULL;
    f->path = name;
    f->real = (sqlite3_file *)(f + 1);
    int code = real_vfs->xOpen(real_vfs, name, f->real, flags, ret_flags);
    if (code == SQLITE_OK)
        f->base.pMethods = &methods;
    return code;
}

static int remove_file(sqlite3_vfs *vfs, const char *name, int sync_dir)
{
    struct vfs_change change = {.kind = VFS_REMOVE, .path = name};

    (void)vfs;
    return tell(real_vfs->xDelete(real_vfs, name, sync_dir), &change);
}

void faulty_vfs_install(void)
{
    static sqlite3_vfs vfs;

    real_vfs = sqlite3_vfs_find(NULL);
    vfs = *real_vfs;
    vfs.zName = "faulty";
    vfs.szOsFile = (int)sizeof(struct faulty_file) + real_vfs->szOsFile;
    vfs.xOpen = open_file;
    vfs.xDelete = remove_file;
    (void)sqlite3_vfs_register(&vfs, 1);
}
