#include "snapshotd/fold_penalty.h"

#include "common/hash_table.h"

struct culprit {
    char hash[NAME_HASH_HEX + 1];
    uint32_t failures;
    uint64_t until_ms;
    UT_hash_handle hh;
};

struct fold_penalty {
    struct culprit *rooms;
};

static struct culprit *find(const struct fold_penalty *p, const char *hash)
{
    struct culprit *c;

    HASH_FIND(hh, p->rooms, hash, NAME_HASH_HEX, c);
    return c;
}

static void forget(struct fold_penalty *p, struct culprit *c)
{
    HASH_DEL(p->rooms, c);
    free(c);
}

static void make_space(struct fold_penalty *p)
{
    struct culprit *first = NULL;

    if (HASH_COUNT(p->rooms) < FOLD_PENALTY_ROOMS_MAX)
        return;
    for (struct culprit *c = p->rooms; c; c = c->hh.next) {
        if (!first || c->until_ms < first->until_ms)
            first = c;
    }
    forget(p, first);
}

uint64_t fold_penalty_left(const struct fold_penalty *p, const char *hash, uint64_t now_ms)
{
    const struct culprit *c = find(p, hash);

    return c && c->until_ms > now_ms ? c->until_ms - now_ms : 0;
}

uint32_t fold_penalty_add(struct fold_penalty *p, const char *hash, uint64_t now_ms)
{
    struct culprit *c = find(p, hash);
    uint64_t ms = FOLD_PENALTY_MS_MIN;

    if (!c) {
        make_space(p);
        c = xcalloc(1, sizeof(*c));
        memcpy(c->hash, hash, NAME_HASH_HEX);
        HASH_ADD(hh, p->rooms, hash, NAME_HASH_HEX, c);
    }
    for (uint32_t i = 0; i < c->failures && ms < FOLD_PENALTY_MS_MAX; i++)
        ms *= 2;
    c->failures++;
    c->until_ms = now_ms + (ms < FOLD_PENALTY_MS_MAX ? ms : FOLD_PENALTY_MS_MAX);
    return c->failures;
}

void fold_penalty_clear(struct fold_penalty *p, const char *hash)
{
    struct culprit *c = find(p, hash);

    if (c)
        forget(p, c);
}

struct fold_penalty *fold_penalty_new(void)
{
    return xcalloc(1, sizeof(struct fold_penalty));
}

void fold_penalty_free(struct fold_penalty *p)
{
    struct culprit *c;
    struct culprit *next;

    if (!p)
        return;
    HASH_ITER (hh, p->rooms, c, next) {
        forget(p, c);
    }
    free(p);
}
