/* The contract of snapshotd/store.h, for the store that this is linked with. */
#include "tests/snapshotd/store_helpers.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

static char dir[256];

static void set_up(void)
{
    make_test_dir(dir, sizeof(dir));
}

static void tear_down(void)
{
    remove_test_dir(dir);
}

TestSuite(store, .init = set_up, .fini = tear_down, .timeout = 60);

static struct store_stat stat_of(struct store *store, struct store_key key)
{
    struct loaded l = load_room(store, key);

    cr_assert_eq(l.error, 0);
    buffer_done(&l.parts);
    return l.stat;
}

Test(store, a_room_never_stored_is_empty_and_no_error)
{
    struct store *s = open_store(dir);
    struct store_stat stat = stat_of(s, key_of("t", "new"));

    cr_assert_eq(stat.op_seq, 0);
    cr_assert_eq(stat.updates, 0);
    cr_assert_eq(stat.oldest_ms, 0);
    assert_loaded(s, key_of("t", "new"), 0, "");
    store_close(s);
}

Test(store, updates_come_back_in_order)
{
    struct store *s = open_store(dir);
    struct store_key key = key_of("t", "r");

    cr_assert_eq(append_text(s, key, 1, "a"), 0);
    cr_assert_eq(append_text(s, key, 2, "b"), 0);
    cr_assert_eq(append_text(s, key, 9, "c"), 0); /* numbers may be left out */
    cr_assert_eq(append_text(s, key, 10, ""), 0);
    assert_loaded(s, key, 4, "U1:a U2:b U3:c U4: "); /* the store leaves none out */
    struct store_stat stat = stat_of(s, key);
    cr_assert_eq(stat.lineage_seq, 10);
    cr_assert_eq(stat.lineage_op_seq, 4);
    cr_assert_eq(stat.updates, 4);
    cr_assert_eq(stat.snapshot_op_seq, 0);
    cr_assert_gt(stat.oldest_ms, UINT64_C(1500000000000));
    store_close(s);
}

Test(store, many_rooms_in_one_transaction)
{
    struct store *s = open_store(dir);
    struct store_update a[] = {{1, slice_str("a1")}, {2, slice_str("a2")}};
    struct store_update b[] = {{7, slice_str("b7")}};
    struct store_append rooms[] = {
        {key_of("t", "b"), LINEAGE, b, 1},
        {key_of("t", "a"), LINEAGE, a, 2},
    };

    cr_assert_eq(append_many(s, rooms, 2), 0);
    assert_loaded(s, key_of("t", "a"), 2, "U1:a1 U2:a2 ");
    assert_loaded(s, key_of("t", "b"), 1, "U1:b7 ");
    cr_assert_eq(stat_of(s, key_of("t", "b")).lineage_seq, 7);
    store_close(s);
}

Test(store, nothing_is_appended_twice_and_a_refused_transaction_leaves_nothing)
{
    struct store *s = open_store(dir);
    struct store_update good[] = {{6, slice_str("x")}};
    struct store_update again[] = {{5, slice_str("y")}};
    struct store_update down[] = {{8, slice_str("y")}, {7, slice_str("z")}};
    struct store_update huge[] = {{(uint64_t)INT64_MAX + 1, slice_str("y")}};
    const struct store_update *bad[] = {again, down, huge};
    size_t bad_len[] = {1, 2, 1};

    cr_assert_eq(append_text(s, key_of("t", "r"), 5, "a"), 0);
    for (size_t i = 0; i < 3; i++) {
        struct store_append rooms[] = {
            {key_of("t", "other"), LINEAGE, good, 1},
            {key_of("t", "r"), LINEAGE, bad[i], bad_len[i]},
        };
        cr_assert_eq(append_many(s, rooms, 2), -ESTALE);
    }
    assert_loaded(s, key_of("t", "r"), 1, "U1:a ");
    assert_loaded(s, key_of("t", "other"), 0, "");
    /* The store is as good as before. */
    cr_assert_eq(append_text(s, key_of("t", "r"), 6, "b"), 0);
    assert_loaded(s, key_of("t", "r"), 2, "U1:a U2:b ");
    store_close(s);
}

Test(store, each_lineage_has_numbers_of_its_own)
{
    const uint64_t other = UINT64_MAX; /* lineages are any 64 bits */
    struct store *s = open_store(dir);
    struct store_key key = key_of("t", "r");

    cr_assert_eq(append_text(s, key, 100, "a"), 0);
    cr_assert_eq(append_text_as(s, key, other, 1, "b"), 0);
    cr_assert_eq(append_text(s, key, 101, "c"), 0);
    cr_assert_eq(append_text_as(s, key, other, 1, "b"), -ESTALE);
    assert_loaded(s, key, 3, "U1:a U2:b U3:c ");
    struct loaded l = load_room_as(s, key, other);
    cr_assert_eq(l.stat.lineage_seq, 1);
    cr_assert_eq(l.stat.lineage_op_seq, 2);
    buffer_done(&l.parts);
    l = load_room_as(s, key, 12345);
    cr_assert_eq(l.stat.lineage_seq, 0);
    cr_assert_eq(l.stat.op_seq, 3);
    buffer_done(&l.parts);
    cr_assert_eq(stat_of(s, key).lineage_seq, 101);
    cr_assert_eq(stat_of(s, key).lineage_op_seq, 3);
    store_close(s);
}

static uint64_t stored_of(struct store *s, struct store_key key, uint64_t lineage)
{
    struct loaded l = load_room_as(s, key, lineage);

    cr_assert_eq(l.error, 0);
    buffer_done(&l.parts);
    return l.stat.lineage_seq;
}

Test(store, lineages_that_are_long_silent_are_forgotten)
{
    struct store *s = open_store(dir);
    struct store_key key = key_of("t", "r");

    for (uint64_t lineage = 1; lineage <= STORE_LINEAGES_MAX; lineage++)
        cr_assert_eq(append_text_as(s, key, lineage, 10 + lineage, "x"), 0);
    cr_assert_eq(append_text_as(s, key, 1, 50, "x"), 0);
    cr_assert_eq(stored_of(s, key, 2), 12);
    cr_assert_eq(append_text_as(s, key, 100, 1, "x"), 0);
    cr_assert_eq(stored_of(s, key, 1), 50);
    cr_assert_eq(stored_of(s, key, 2), 0);
    cr_assert_eq(stored_of(s, key, 3), 13);
    cr_assert_eq(stored_of(s, key, 100), 1);
    cr_assert_eq(append_text_as(s, key, 2, 12, "again"), 0);
    cr_assert_eq(stat_of(s, key).op_seq, STORE_LINEAGES_MAX + 3);
    store_close(s);
}

Test(store, a_fold_replaces_what_was_read)
{
    struct store *s = open_store(dir);
    struct store_key key = key_of("t", "r");

    cr_assert_eq(append_text(s, key, 1, "a"), 0);
    cr_assert_eq(append_text(s, key, 2, "b"), 0);
    cr_assert_eq(fold_room(s, key, stat_of(s, key), "ab"), 0);
    assert_loaded(s, key, 2, "S2:ab ");
    struct store_stat stat = stat_of(s, key);
    cr_assert_eq(stat.snapshot_op_seq, 2);
    cr_assert_eq(stat.updates, 0);
    cr_assert_eq(stat.oldest_ms, 0);
    /* The rows are gone, their numbers are not free again. */
    cr_assert_eq(append_text(s, key, 2, "x"), -ESTALE);
    cr_assert_eq(append_text(s, key, 3, "c"), 0);
    assert_loaded(s, key, 3, "S2:ab U3:c ");
    cr_assert_eq(fold_room(s, key, stat_of(s, key), "abc"), 0);
    assert_loaded(s, key, 3, "S3:abc ");
    store_close(s);
}

Test(store, a_fold_leaves_what_was_appended_since_it_read)
{
    struct store *s = open_store(dir);
    struct store_key key = key_of("t", "r");

    cr_assert_eq(append_text(s, key, 1, "a"), 0);
    struct store_stat read = stat_of(s, key);
    cr_assert_eq(append_text(s, key, 2, "b"), 0);
    cr_assert_eq(append_text(s, key_of("t", "q"), 1, "q"), 0);
    cr_assert_eq(fold_room(s, key, read, "A"), 0);
    assert_loaded(s, key, 2, "S1:A U2:b ");
    assert_loaded(s, key_of("t", "q"), 1, "U1:q ");
    store_close(s);
}

Test(store, a_fold_of_what_is_no_longer_so_changes_nothing)
{
    struct store *s = open_store(dir);
    struct store_key key = key_of("t", "r");

    cr_assert_eq(append_text(s, key, 1, "a"), 0);
    struct store_stat first = stat_of(s, key);
    cr_assert_eq(append_text(s, key, 2, "b"), 0);
    struct store_stat second = stat_of(s, key);
    struct store_stat miscounted = second;
    miscounted.updates = 1; /* as if a row had come below the last one that was read */
    cr_assert_eq(fold_room(s, key, miscounted, "X"), -ESTALE);
    assert_loaded(s, key, 2, "U1:a U2:b ");
    cr_assert_eq(fold_room(s, key, second, "AB"), 0);
    cr_assert_eq(fold_room(s, key, second, "X"), -ESTALE);
    cr_assert_eq(fold_room(s, key, first, "X"), -ESTALE); /* an older state never wins */
    cr_assert_eq(fold_room(s, key_of("t", "none"), second, "X"), -ESTALE);
    assert_loaded(s, key, 2, "S2:AB ");
    /* Also where there was nothing but the snapshot. */
    struct store_stat folded = stat_of(s, key);
    cr_assert_eq(append_text(s, key, 3, "c"), 0);
    cr_assert_eq(fold_room(s, key, stat_of(s, key), "ABC"), 0);
    cr_assert_eq(fold_room(s, key, folded, "X"), -ESTALE);
    assert_loaded(s, key, 3, "S3:ABC ");
    store_close(s);
}

Test(store, everything_is_there_after_reopening)
{
    struct store *s = open_store(dir);
    struct store_key key = key_of("t", "r");

    cr_assert_eq(append_text(s, key, 1, "a"), 0);
    cr_assert_eq(fold_room(s, key, stat_of(s, key), "A"), 0);
    cr_assert_eq(append_text(s, key, 2, "b"), 0);
    store_close(s);
    s = open_store(dir);
    assert_loaded(s, key, 2, "S1:A U2:b ");
    cr_assert_eq(append_text(s, key, 2, "x"), -ESTALE);
    store_close(s);
}

/* ---- several at once ---- */

struct ending {
    int calls;
    int error;
};

static void on_ending(void *ctx, int error)
{
    struct ending *e = ctx;

    e->calls++;
    e->error = error;
}

static void wait_for_all(const struct ending *endings, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        while (endings[i].calls == 0)
            store_turn();
        cr_assert_eq(endings[i].calls, 1);
    }
}

Test(store, operations_take_effect_in_the_order_of_the_calls)
{
    struct store *s = open_store(dir);
    struct store_key key = key_of("t", "r");
    struct store_update updates[] = {{1, slice_str("a")}, {2, slice_str("b")}};
    struct store_append first = {key, LINEAGE, updates, 1};
    struct store_append stale = {key, LINEAGE, updates, 2};
    struct store_append second = {key, LINEAGE, updates + 1, 1};
    struct ending endings[3] = {0};

    store_append(s, &first, 1, on_ending, &endings[0]);
    store_append(s, &stale, 1, on_ending, &endings[1]);
    store_append(s, &second, 1, on_ending, &endings[2]);
    assert_loaded(s, key, 2, "U1:a U2:b ");
    wait_for_all(endings, 3);
    cr_assert_eq(endings[0].error, 0);
    cr_assert_eq(endings[1].error, -ESTALE);
    cr_assert_eq(endings[2].error, 0);
    store_close(s);
}

static void on_part_ignored(void *ctx, const struct store_part *part)
{
    (void)ctx;
    (void)part;
}

static void on_load_ending(void *ctx, int error, const struct store_stat *stat)
{
    cr_assert_eq(stat == NULL, error < 0);
    on_ending(ctx, error);
}

Test(store, what_is_under_way_ends_when_it_is_closed)
{
    static const struct store_load_handler handler = {.on_part = on_part_ignored,
                                                      .on_done = on_load_ending};
    struct store *s = open_store(dir);
    struct store_key key = key_of("t", "r");
    struct store_update update = {1, slice_str("a")};
    struct store_append room = {key, LINEAGE, &update, 1};
    struct store_fold fold = {.key = key, .state = slice_str("x")};
    struct ending endings[3] = {0};

    store_load(s, key, LINEAGE, &handler, &endings[0]);
    store_append(s, &room, 1, on_ending, &endings[1]);
    store_fold(s, &fold, on_ending, &endings[2]);
    store_close(s);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(endings[i].calls, 1);
    s = open_store(dir); /* whatever became of it, it is whole */
    struct store_stat stat = stat_of(s, key);
    cr_assert_eq(stat.op_seq, stat.lineage_seq);
    cr_assert(endings[1].error == -ECANCELED || stat.op_seq == 1);
    store_close(s);
}

#define ROUNDS 40

/* Two hosts write the same rooms at the same time, and fold them: every update is there. */
Test(store, two_stores_append_to_the_same_rooms)
{
    struct store *stores[2] = {open_store(dir), open_store(dir)};
    struct store_key keys[2] = {key_of("t", "one"), key_of("t", "two")};

    for (uint64_t round = 1; round <= ROUNDS; round++) {
        struct store_update update = {round, slice_str("x")};
        /* Each names the rooms in another order. */
        struct store_append rooms[2][2] = {
            {{keys[0], 1, &update, 1}, {keys[1], 1, &update, 1}},
            {{keys[1], 2, &update, 1}, {keys[0], 2, &update, 1}},
        };
        struct ending endings[2] = {0};
        for (int i = 0; i < 2; i++)
            store_append(stores[i], rooms[i], 2, on_ending, &endings[i]);
        wait_for_all(endings, 2);
        cr_assert_eq(endings[0].error, 0);
        cr_assert_eq(endings[1].error, 0);
    }
    for (int i = 0; i < 2; i++) {
        struct store_stat stat = stat_of(stores[i], keys[i]);
        cr_assert_eq(stat.op_seq, 2 * ROUNDS);
        cr_assert_eq(stat.updates, 2 * ROUNDS);
        cr_assert_eq(stored_of(stores[i], keys[i], 1), ROUNDS);
        cr_assert_eq(stored_of(stores[i], keys[i], 2), ROUNDS);
    }
    store_close(stores[0]);
    store_close(stores[1]);
}

Test(store, of_two_folds_of_the_same_one_is_made)
{
    struct store *stores[2] = {open_store(dir), open_store(dir)};
    struct store_key key = key_of("t", "r");

    for (uint64_t round = 1; round <= ROUNDS; round++) {
        cr_assert_eq(append_text(stores[round % 2], key, round, "x"), 0);
        struct store_stat read = stat_of(stores[0], key);
        struct store_update update = {round, slice_str("y")};
        struct store_append room = {key, 1, &update, 1};
        struct store_fold folds[2] = {{key, read, slice_str("A")}, {key, read, slice_str("B")}};
        struct ending endings[3] = {0};
        store_fold(stores[0], &folds[0], on_ending, &endings[0]);
        store_append(stores[0], &room, 1, on_ending, &endings[1]);
        store_fold(stores[1], &folds[1], on_ending, &endings[2]);
        wait_for_all(endings, 3);
        cr_assert_eq(endings[1].error, 0);
        cr_assert(endings[0].error == 0 || endings[0].error == -ESTALE);
        cr_assert_eq(endings[2].error, endings[0].error == 0 ? -ESTALE : 0);
        struct store_stat stat = stat_of(stores[1], key);
        cr_assert_eq(stat.snapshot_op_seq, read.op_seq);
        cr_assert_eq(stat.op_seq, 2 * round);
        cr_assert_eq(stat.updates, 1);
    }
    store_close(stores[0]);
    store_close(stores[1]);
}

/* Appends until it is killed, and says so after each transaction. */
static void append_forever(int report)
{
    struct store *s = open_store(dir);

    for (uint64_t seq = 1;; seq++) {
        if (append_text(s, key_of("t", "r"), seq, "x") < 0 ||
            write(report, &seq, sizeof(seq)) != sizeof(seq))
            _exit(1);
    }
}

Test(store, what_was_acknowledged_survives_a_kill)
{
    int fds[2];
    uint64_t told = 0;

    for (int round = 1; round <= 3; round++) {
        cr_assert_eq(pipe(fds), 0);
        pid_t child = fork();
        cr_assert_geq(child, 0);
        if (child == 0) {
            (void)close(fds[0]);
            append_forever(fds[1]);
        }
        (void)close(fds[1]);
        for (int i = 0; i < 10 * round; i++)
            cr_assert_eq(read(fds[0], &told, sizeof(told)), (ssize_t)sizeof(told));
        (void)kill(child, SIGKILL);
        cr_assert_eq(waitpid(child, NULL, 0), child);
        while (read(fds[0], &told, sizeof(told)) == sizeof(told))
            continue;
        (void)close(fds[0]);
        struct store *s = open_store(dir);
        struct store_stat stat = stat_of(s, key_of("t", "r"));
        cr_assert_geq(stat.op_seq, told);
        cr_assert_eq(stat.updates, stat.op_seq);
        /* The next round starts from nothing. */
        char other[256];
        make_test_dir(other, sizeof(other));
        store_close(s);
        remove_test_dir(dir);
        memcpy(dir, other, sizeof(dir));
    }
}

Test(store, names_are_bytes_and_not_sql_nor_paths)
{
    static char longest[256];
    memset(longest, 'n', 255);
    const char *names[] = {
        "a",
        "A",
        " a",
        "a ",
        "'; DROP TABLE rooms; --",
        "\"quoted\"",
        "%",
        "_",
        "../../x",
        "/",
        "line\nbreak",
        "\xf0\x9f\x98\x80",
        "\xc3\xa9",
        "e\xcc\x81",
        "\\",
        "\x7f\x01",
        longest,
        "NULL",
    };
    size_t count = sizeof(names) / sizeof(names[0]);
    struct store *s = open_store(dir);

    for (size_t i = 0; i < count; i++)
        cr_assert_eq(append_text(s, key_of("t", names[i]), i + 1, names[i]), 0);
    for (size_t i = 0; i < count; i++) {
        char *want CLEANUP_FREE = xasprintf("U1:%s ", names[i]);
        assert_loaded(s, key_of("t", names[i]), 1, want);
    }
    store_close(s);
}

Test(store, rooms_of_tenants_are_apart)
{
    struct store *s = open_store(dir);

    cr_assert_eq(append_text(s, key_of("one", "r"), 1, "1"), 0);
    cr_assert_eq(append_text(s, key_of("two", "r"), 1, "2"), 0);
    cr_assert_eq(append_text(s, key_of("a", "bc"), 1, "3"), 0);
    assert_loaded(s, key_of("one", "r"), 1, "U1:1 ");
    assert_loaded(s, key_of("two", "r"), 1, "U1:2 ");
    assert_loaded(s, key_of("ab", "c"), 0, "");
    assert_loaded(s, key_of("", "r"), 0, "");
    store_close(s);
}

static void on_part_check(void *ctx, const struct store_part *part)
{
    size_t *bytes = ctx;

    for (size_t i = 0; i < part->payload.len; i += 4093)
        cr_assert_eq(part->payload.data[i], (uint8_t)(i % 251));
    *bytes += part->payload.len;
}

static void on_check_done(void *ctx, int error, const struct store_stat *stat)
{
    (void)stat;
    cr_assert_eq(error, 0);
    *(size_t *)ctx += 1;
}

Test(store, large_payloads)
{
    static const struct store_load_handler handler = {.on_part = on_part_check,
                                                      .on_done = on_check_done};
    size_t len = (size_t)24 << 20;
    uint8_t *data = xmalloc(len);
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)(i % 251);
    struct store_update update = {1, slice_of(data, len)};
    struct store_append room = {key_of("t", "r"), LINEAGE, &update, 1};
    struct store *s = open_store(dir);
    size_t bytes = 0;

    cr_assert_eq(append_many(s, &room, 1), 0);
    store_load(s, room.key, LINEAGE, &handler, &bytes);
    while (bytes <= len)
        store_turn();
    cr_assert_eq(bytes, len + 1);
    store_close(s);
    free(data);
}
