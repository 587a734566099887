#include "common/access_caps.h"

#include "common/hash_table.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define KEY_MAX (3 * 255 + 2)

struct entry {
    struct access_cap cap; /* its texts are parts of `key` */
    UT_hash_handle hh;
    size_t key_len;
    char key[]; /* tenant, NUL, room, NUL, user */
};

struct access_caps {
    uint64_t kept_s;
    struct entry *entries; /* in the order in which they were added or changed */
};

struct access_caps *access_caps_new(uint64_t kept_s)
{
    struct access_caps *caps = xcalloc(1, sizeof(*caps));

    caps->kept_s = kept_s;
    return caps;
}

static void drop(struct access_caps *caps, struct entry *e)
{
    HASH_DEL(caps->entries, e);
    free(e);
}

void access_caps_free(struct access_caps *caps)
{
    struct entry *e, *next;

    if (!caps)
        return;
    HASH_ITER (hh, caps->entries, e, next)
        drop(caps, e);
    free(caps);
}

size_t access_caps_count(const struct access_caps *caps)
{
    return HASH_COUNT(caps->entries);
}

static size_t write_key(char key[KEY_MAX], struct slice tenant, struct slice room,
                        struct slice user)
{
    const struct slice parts[] = {tenant, room, user};
    size_t len = 0;

    for (size_t i = 0; i < 3; i++) {
        assert(parts[i].len <= 255);
        if (i > 0)
            key[len++] = '\0';
        if (parts[i].len > 0)
            memcpy(key + len, parts[i].data, parts[i].len);
        len += parts[i].len;
    }
    return len;
}

static struct entry *find(const struct access_caps *caps, const char *key, size_t len)
{
    struct entry *e;

    HASH_FIND(hh, caps->entries, key, len, e);
    return e;
}

static struct entry *new_entry(const struct access_cap *cap, const char *key, size_t len)
{
    struct entry *e = xcalloc(1, sizeof(*e) + len);
    const char *room = e->key + cap->tenant.len + 1;

    memcpy(e->key, key, len);
    e->key_len = len;
    e->cap = *cap;
    e->cap.tenant = slice_of(e->key, cap->tenant.len);
    e->cap.room = slice_of(room, cap->room.len);
    e->cap.user = slice_of(room + cap->room.len + 1, cap->user.len);
    return e;
}

static bool is_news(const struct access_cap *before, const struct access_cap *cap)
{
    return cap->issued_s > before->issued_s ||
           (cap->issued_s == before->issued_s && cap->access < before->access);
}

int access_caps_add(struct access_caps *caps, const struct access_cap *cap)
{
    char key[KEY_MAX];
    size_t len = write_key(key, cap->tenant, cap->room, cap->user);
    struct entry *before = find(caps, key, len);

    if (before && !is_news(&before->cap, cap))
        return 0;
    if (!before && access_caps_count(caps) >= ACCESS_CAPS_MAX)
        return -ENOSPC;
    struct entry *e = new_entry(cap, key, len);
    if (before)
        drop(caps, before);
    HASH_ADD_KEYPTR(hh, caps->entries, e->key, e->key_len, e);
    return 1;
}

enum access access_caps_find(const struct access_caps *caps, struct slice tenant, struct slice room,
                             struct slice user, uint64_t issued_s)
{
    char key[KEY_MAX];
    const struct entry *e = find(caps, key, write_key(key, tenant, room, user));

    return e && issued_s <= e->cap.issued_s ? e->cap.access : ACCESS_ADMIN;
}

void access_caps_expire(struct access_caps *caps, uint64_t now_s)
{
    struct entry *e, *next;

    HASH_ITER (hh, caps->entries, e, next) {
        if (now_s > e->cap.issued_s && now_s - e->cap.issued_s > caps->kept_s)
            drop(caps, e);
    }
}

void access_caps_each(const struct access_caps *caps, access_cap_fn fn, void *ctx)
{
    for (const struct entry *e = caps->entries; e; e = e->hh.next)
        fn(ctx, &e->cap);
}
