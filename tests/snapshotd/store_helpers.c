#include "tests/snapshotd/store_helpers.h"

#include "tests/snapshotd/store_under_test.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>

void make_test_dir(char *ret_path, size_t size)
{
    const char *tmp = getenv("TMPDIR");

    (void)snprintf(ret_path, size, "%s/concord-test-XXXXXX", tmp ? tmp : "/tmp");
    cr_assert_not_null(mkdtemp(ret_path));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void remove_test_dir(const char *path)
{
    (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static struct loop *own_loop(void)
{
    static struct loop *loop;
    static pid_t owner;

    if (owner != getpid()) /* a forked child must not share its parent's */
        loop = loop_new();
    owner = getpid();
    return loop;
}

void store_turn(void)
{
    cr_assert_geq(event_base_loop(loop_base(own_loop()), EVLOOP_ONCE), 0);
}

#define OPENING 1

static void on_open(void *ctx, int error)
{
    *(int *)ctx = error;
}

static void on_lost(void *ctx, int error)
{
    (void)ctx;
    cr_assert_fail("the store is lost: %s", store_strerror(error));
}

struct store *open_store(const char *dir)
{
    static int error;
    static const struct store_owner owner = {on_open, on_lost, &error};
    struct store *store = NULL;
    int r = store_under_test_open(dir, own_loop(), &owner, &store);

    cr_assert(r == 0 || r == -EINPROGRESS);
    error = r == 0 ? 0 : OPENING;
    while (error == OPENING)
        store_turn();
    cr_assert_eq(error, 0, "%s: %s", store_strerror(error), store_detail(store));
    return store;
}

static void on_part(void *ctx, const struct store_part *part)
{
    struct loaded *l = ctx;

    cr_assert_eq(l->calls, 0, "a part after the end");
    buffer_printf(&l->parts, "%c%" PRIu64 ":%.*s ", part->kind == STORE_PART_SNAPSHOT ? 'S' : 'U',
                  part->op_seq, (int)part->payload.len, (const char *)part->payload.data);
}

static void on_loaded(void *ctx, int error, const struct store_stat *stat)
{
    struct loaded *l = ctx;

    l->calls++;
    l->error = error;
    cr_assert_eq(stat == NULL, error < 0);
    if (stat)
        l->stat = *stat;
}

/* Twice, once without the parts: the figures are the same. */
static bool load_twice(struct store *store, struct store_key key, uint64_t lineage,
                       struct loaded *ret)
{
    static const struct store_load_handler handler = {.on_part = on_part, .on_done = on_loaded};
    static const struct store_load_handler figures = {.on_done = on_loaded};
    struct loaded f = {0};

    *ret = (struct loaded){0};
    store_load(store, key, lineage, &handler, ret);
    store_load(store, key, lineage, &figures, &f);
    while (ret->calls == 0 || f.calls == 0)
        store_turn();
    cr_assert_eq(ret->calls, 1);
    buffer_append(&ret->parts, "", 1);
    return ret->error < 0 || f.error < 0 || memcmp(&ret->stat, &f.stat, sizeof(f.stat)) == 0;
}

/* A daemon under test may fold or store something between the two; not every time. */
struct loaded load_room_as(struct store *store, struct store_key key, uint64_t lineage)
{
    struct loaded l;

    for (int i = 0; !load_twice(store, key, lineage, &l); i++) {
        cr_assert_lt(i, 5, "the figures differ");
        buffer_done(&l.parts);
    }
    return l;
}

struct loaded load_room(struct store *store, struct store_key key)
{
    return load_room_as(store, key, LINEAGE);
}

void assert_loaded(struct store *store, struct store_key key, uint64_t op_seq, const char *parts)
{
    struct loaded l = load_room(store, key);

    cr_assert_eq(l.error, 0);
    cr_assert_eq(l.stat.op_seq, op_seq);
    cr_assert_str_eq((const char *)l.parts.data, parts);
    buffer_done(&l.parts);
}

struct result {
    int calls;
    int error;
};

static void on_done(void *ctx, int error)
{
    struct result *r = ctx;

    r->calls++;
    r->error = error;
}

static int wait_for(struct result *r)
{
    while (r->calls == 0)
        store_turn();
    cr_assert_eq(r->calls, 1);
    return r->error;
}

int append_many(struct store *store, const struct store_append *rooms, size_t count)
{
    struct result r = {0};

    store_append(store, rooms, count, on_done, &r);
    return wait_for(&r);
}

int append_text_as(struct store *store, struct store_key key, uint64_t lineage, uint64_t seq,
                   const char *text)
{
    struct store_update update = {.seq = seq, .payload = slice_str(text)};
    struct store_append room = {.key = key, .lineage = lineage, .updates = &update, .count = 1};

    return append_many(store, &room, 1);
}

int append_text(struct store *store, struct store_key key, uint64_t seq, const char *text)
{
    return append_text_as(store, key, LINEAGE, seq, text);
}

int fold_room(struct store *store, struct store_key key, struct store_stat read, const char *state)
{
    struct store_fold fold = {.key = key, .read = read, .state = slice_str(state)};
    struct result r = {0};

    store_fold(store, &fold, on_done, &r);
    return wait_for(&r);
}
