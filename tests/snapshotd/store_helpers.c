#include "tests/snapshotd/store_helpers.h"

#include "tests/snapshotd/store_under_test.h"

#include <criterion/criterion.h>
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

struct store *open_store(const char *dir)
{
    struct store *store = NULL;

    cr_assert_eq(store_under_test_open(dir, &store), 0);
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

struct loaded load_room(struct store *store, struct store_key key)
{
    static const struct store_load_handler handler = {.on_part = on_part, .on_done = on_loaded};
    static const struct store_load_handler figures = {.on_done = on_loaded};
    struct loaded l = {0};
    struct loaded f = {0};

    store_load(store, key, &handler, &l);
    store_load(store, key, &figures, &f);
    while (l.calls == 0 || f.calls == 0)
        store_under_test_turn(store);
    cr_assert_eq(l.calls, 1);
    if (l.error == 0 && f.error == 0)
        cr_assert_eq(memcmp(&l.stat, &f.stat, sizeof(l.stat)), 0);
    buffer_append(&l.parts, "", 1);
    return l;
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

static int wait_for(struct store *store, struct result *r)
{
    while (r->calls == 0)
        store_under_test_turn(store);
    cr_assert_eq(r->calls, 1);
    return r->error;
}

int append_many(struct store *store, const struct store_append *rooms, size_t count)
{
    struct result r = {0};

    store_append(store, rooms, count, on_done, &r);
    return wait_for(store, &r);
}

int append_text(struct store *store, struct store_key key, uint64_t op_seq, const char *text)
{
    struct store_update update = {.op_seq = op_seq, .payload = slice_str(text)};
    struct store_append room = {.key = key, .updates = &update, .count = 1};

    return append_many(store, &room, 1);
}

int fold_room(struct store *store, struct store_key key, struct store_stat read, const char *state)
{
    struct store_fold fold = {.key = key, .read = read, .state = slice_str(state)};
    struct result r = {0};

    store_fold(store, &fold, on_done, &r);
    return wait_for(store, &r);
}
