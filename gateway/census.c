#include "gateway/census.h"

#include "common/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <sha2.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define TABLES_MAX   256
#define BUCKETS      8192u
#define BUCKET_SLOTS 8u /* a key is in its bucket or nowhere: nobody can make it a long search */

struct slot {
    _Atomic uint64_t key;
    _Atomic uint32_t count; /* 0: the slot is free */
};

struct table {
    struct slot slots[BUCKETS][BUCKET_SLOTS];
};

/* Another's. */
struct other {
    int fd; /* -1: there is none of that number */
    const struct table *table;
    bool is_alive;
};

struct census {
    int dir;
    int number;
    int fd; /* locked as long as it is open */
    struct table *own;
    struct other others[TABLES_MAX];
    int others_count;
    uint64_t look_ms;
};

/* ---- files ---- */

static int open_table(int dir, int number, int flags)
{
    char name[16];

    (void)snprintf(name, sizeof(name), "%d", number);
    int fd = openat(dir, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
    return fd < 0 ? -errno : fd;
}

/* The first table that nobody has, locked. */
static int take_table(struct census *c)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    for (c->number = 0; c->number < TABLES_MAX; c->number++) {
        int fd CLEANUP_FD = open_table(c->dir, c->number, O_RDWR | O_CREAT);
        if (fd < 0)
            return fd;
        if (fcntl(fd, F_OFD_SETLK, &lock) == 0) {
            c->fd = TAKE_FD(fd);
            return 0;
        }
        if (errno != EAGAIN && errno != EACCES)
            return -errno;
    }
    return -EBUSY;
}

/* Space is taken at once: without it, a write into the map would end the process. */
static int map_own(struct census *c)
{
    int r = posix_fallocate(c->fd, 0, sizeof(struct table));

    if (r != 0)
        return -r;
    void *p = mmap(NULL, sizeof(struct table), PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, 0);
    if (p == MAP_FAILED)
        return -errno;
    c->own = p;
    memset(p, 0, sizeof(struct table)); /* what another one had */
    return 0;
}

static void map_other(struct census *c, struct other *o, int number)
{
    struct stat st;
    int fd CLEANUP_FD = open_table(c->dir, number, O_RDONLY);

    if (fd < 0 || fstat(fd, &st) < 0 || (size_t)st.st_size < sizeof(struct table))
        return;
    void *p = mmap(NULL, sizeof(struct table), PROT_READ, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        return;
    o->table = p;
    o->fd = TAKE_FD(fd);
}

static bool has_owner(const struct other *o)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    return o->fd >= 0 && fcntl(o->fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

/* Tables are numbered without gaps. */
static void look(struct census *c)
{
    struct stat st;
    char name[16];

    for (int i = 0; i < TABLES_MAX; i++) {
        struct other *o = &c->others[i];
        (void)snprintf(name, sizeof(name), "%d", i);
        if (o->fd < 0 && fstatat(c->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            break;
        if (o->fd < 0 && i != c->number)
            map_other(c, o, i);
        o->is_alive = has_owner(o);
        c->others_count = i + 1;
    }
}

int census_open(const char *dir, struct census **ret)
{
    struct census *c = xcalloc(1, sizeof(*c));

    c->fd = -1;
    for (int i = 0; i < TABLES_MAX; i++)
        c->others[i].fd = -1;
    int r = mkdir(dir, 0700) < 0 && errno != EEXIST ? -errno : 0;
    c->dir = r < 0 ? -1 : open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (r == 0 && c->dir < 0)
        r = -errno;
    if (r == 0)
        r = take_table(c);
    if (r == 0)
        r = map_own(c);
    if (r < 0) {
        census_free(c);
        return r;
    }
    *ret = c;
    return 0;
}

void census_free(struct census *c)
{
    if (!c)
        return;
    for (int i = 0; i < c->others_count; i++) {
        if (c->others[i].fd < 0)
            continue;
        (void)munmap((void *)c->others[i].table, sizeof(struct table));
        (void)close(c->others[i].fd);
    }
    if (c->own)
        (void)munmap(c->own, sizeof(*c->own));
    if (c->fd >= 0)
        (void)close(c->fd);
    if (c->dir >= 0)
        (void)close(c->dir);
    free(c);
}

/* ---- counts ---- */

uint64_t census_key(uint8_t kind, struct slice key)
{
    uint8_t digest[SHA256_DIGEST_LENGTH];
    uint64_t number;
    SHA2_CTX ctx;

    SHA256Init(&ctx);
    SHA256Update(&ctx, &kind, 1);
    SHA256Update(&ctx, key.data, key.len);
    SHA256Final(digest, &ctx);
    memcpy(&number, digest, sizeof(number));
    return number;
}

/* The slot of the key, or else a free one; NULL if there is neither. */
static struct slot *find_slot(struct table *t, uint64_t key)
{
    struct slot *bucket = t->slots[key % BUCKETS];
    struct slot *found = NULL;

    for (unsigned i = 0; i < BUCKET_SLOTS; i++) {
        if (atomic_load(&bucket[i].count) == 0)
            found = found ? found : &bucket[i];
        else if (atomic_load(&bucket[i].key) == key)
            return &bucket[i];
    }
    return found;
}

void census_set(struct census *c, uint64_t key, uint32_t count)
{
    struct slot *slot = find_slot(c->own, key);

    if (!slot)
        return;
    atomic_store(&slot->key, key);
    atomic_store(&slot->count, count);
}

static uint32_t count_of(const struct table *t, uint64_t key)
{
    const struct slot *bucket = t->slots[key % BUCKETS];
    uint32_t count = 0;

    for (unsigned i = 0; i < BUCKET_SLOTS; i++)
        if (atomic_load(&bucket[i].key) == key) /* also of a slot that it had before */
            count += atomic_load(&bucket[i].count);
    return count;
}

uint32_t census_others(struct census *c, uint64_t key)
{
    uint64_t now_ms = mono_now_ms();
    uint32_t total = 0;

    if (now_ms >= c->look_ms) {
        look(c);
        c->look_ms = now_ms + CENSUS_LOOK_MS;
    }
    for (int i = 0; i < c->others_count; i++)
        if (c->others[i].is_alive)
            total += count_of(c->others[i].table, key);
    return total;
}
