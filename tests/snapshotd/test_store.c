/* The contract of snapshotd/store.h, for the store that this is linked with. */
#include "tests/snapshotd/store_helpers.h"
#include "tests/snapshotd/store_under_test.h"

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
    assert_loaded(s, key, 10, "U1:a U2:b U9:c U10: ");
    struct store_stat stat = stat_of(s, key);
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
        {key_of("t", "a"), a, 2},
        {key_of("t", "b"), b, 1},
    };

    cr_assert_eq(append_many(s, rooms, 2), 0);
    assert_loaded(s, key_of("t", "a"), 2, "U1:a1 U2:a2 ");
    assert_loaded(s, key_of("t", "b"), 7, "U7:b7 ");
    store_close(s);
}

Test(store, op_seq_never_goes_down_and_a_refused_transaction_leaves_nothing)
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
            {key_of("t", "other"), good, 1},
            {key_of("t", "r"), bad[i], bad_len[i]},
        };
        cr_assert_eq(append_many(s, rooms, 2), -ESTALE);
    }
    assert_loaded(s, key_of("t", "r"), 5, "U5:a ");
    assert_loaded(s, key_of("t", "other"), 0, "");
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
        char *want CLEANUP_FREE = xasprintf("U%zu:%s ", i + 1, names[i]);
        assert_loaded(s, key_of("t", names[i]), i + 1, want);
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
    struct store_append room = {key_of("t", "r"), &update, 1};
    struct store *s = open_store(dir);
    size_t bytes = 0;

    cr_assert_eq(append_many(s, &room, 1), 0);
    store_load(s, room.key, &handler, &bytes);
    while (bytes <= len)
        store_under_test_turn(s);
    cr_assert_eq(bytes, len + 1);
    store_close(s);
    free(data);
}
