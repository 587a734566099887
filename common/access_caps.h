/*
 * access_caps: what was taken away from users since their tokens were issued. A cap says what one
 * user may still do in one room with tokens that were issued up to a moment; a token that is newer
 * is not touched by it. A pure table: roomd keeps the one of the host and every gateway a copy.
 *
 * A cap is kept for `kept_s`, which must be longer than any token lives; then it is forgotten.
 */
#pragma once

#include "common/access.h"
#include "common/memory.h"
#include "common/slice.h"

#include <stdint.h>

#define ACCESS_CAPS_MAX 65536u

struct access_cap {
    struct slice tenant; /* 1 to 255 bytes each, without NUL */
    struct slice room;
    struct slice user;
    enum access access; /* at most this */
    uint64_t issued_s;  /* for tokens issued then or before; wall clock in seconds */
};

struct access_caps;

struct access_caps *access_caps_new(uint64_t kept_s);
void access_caps_free(struct access_caps *caps);
size_t access_caps_count(const struct access_caps *caps);

/* Adds a cap, or merges it with the one of the same user and room: the later one counts, and of two
 * of the same second the lower one. 1 if that changed anything, 0 if not, -ENOSPC: there are
 * ACCESS_CAPS_MAX. */
WARN_UNUSED int access_caps_add(struct access_caps *caps, const struct access_cap *cap);

/* The most that a token of this user, issued at `issued_s` (0: not known), allows in the room. */
enum access access_caps_find(const struct access_caps *caps, struct slice tenant, struct slice room,
                             struct slice user, uint64_t issued_s);

/* Forgets those that are older than is kept. */
void access_caps_expire(struct access_caps *caps, uint64_t now_s);

/* Calls `fn` for every cap, oldest first. */
typedef void (*access_cap_fn)(void *ctx, const struct access_cap *cap);
void access_caps_each(const struct access_caps *caps, access_cap_fn fn, void *ctx);
