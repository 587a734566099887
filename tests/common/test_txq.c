#include "common/txq.h"

#include "common/memory.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <sys/socket.h>

static void make_pair(int fds[2])
{
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
}

static void push_str(struct txq *q, const char *s)
{
    struct blob *b = blob_copy(slice_str(s));
    txq_push(q, b);
    blob_unref(b);
}

Test(txq, writes_in_order_across_growth)
{
    struct txq q = {0};
    char got[64] = {0};
    int fds[2];

    make_pair(fds);
    for (int i = 0; i < 20; i++)
        push_str(&q, (const char[]){(char)('a' + i), '\0'});
    cr_expect_eq(q.bytes, 20);
    cr_expect_eq(txq_flush(&q, fds[0]), 1);
    cr_expect_eq(q.bytes, 0);
    cr_expect_eq(read(fds[1], got, sizeof(got)), 20);
    cr_expect_str_eq(got, "abcdefghijklmnopqrst");
    txq_done(&q);
}

Test(txq, stops_where_the_descriptor_blocks_and_goes_on)
{
    static const size_t size = 4 << 20;
    struct txq q = {0};
    struct blob *b = blob_new(size);
    char *got CLEANUP_FREE = xmalloc(size);
    size_t total = 0;
    int fds[2];

    make_pair(fds);
    for (size_t i = 0; i < size; i++)
        b->data[i] = (uint8_t)(i * 31 >> 3);
    txq_push(&q, b);
    push_str(&q, "end");
    while (txq_flush(&q, fds[0]) == 0) {
        ssize_t n = read(fds[1], got + total, size - total);
        cr_assert_gt(n, 0);
        total += (size_t)n;
    }
    while (total < size)
        total += (size_t)read(fds[1], got + total, size - total);
    cr_expect_eq(memcmp(got, b->data, size), 0);
    cr_expect_eq(read(fds[1], got, 16), 3);
    blob_unref(b);
    txq_done(&q);
}

Test(txq, dropping_keeps_what_was_begun)
{
    static const size_t size = 4 << 20;
    struct txq q = {0};
    struct blob *b = blob_new(size);
    int fds[2];

    make_pair(fds);
    memset(b->data, 0, size);
    txq_push(&q, b);
    push_str(&q, "later");
    cr_expect_eq(txq_flush(&q, fds[0]), 0);
    txq_drop_unsent(&q);
    cr_expect_eq(q.count, 1);
    cr_expect_eq(q.bytes, txq_front(&q).len);
    txq_done(&q);
    push_str(&q, "never begun");
    txq_drop_unsent(&q);
    cr_expect_eq(q.bytes, 0);
    txq_done(&q);
    blob_unref(b);
}

Test(txq, reports_a_closed_peer)
{
    struct txq q = {0};
    int fds[2];

    make_pair(fds);
    close(fds[1]);
    push_str(&q, "x");
    cr_expect_eq(txq_flush(&q, fds[0]), -EPIPE);
    txq_done(&q);
}

/* A frame in two blobs: once its first byte is written, all of it must be. */
Test(txq, dropping_keeps_the_rest_of_a_frame_that_was_begun)
{
    static const size_t size = 4 << 20;
    struct txq q = {0};
    struct blob *head = blob_copy(slice_str("head"));
    struct blob *body = blob_new(size);
    int fds[2];

    make_pair(fds);
    memset(body->data, 0, size);
    txq_push(&q, head);
    txq_push_rest(&q, body);
    push_str(&q, "later");
    txq_drop_unsent(&q);
    cr_expect_eq(q.count, 0, "nothing of it was written");
    cr_expect_eq(q.bytes, 0);

    txq_push(&q, head);
    txq_push_rest(&q, body);
    push_str(&q, "later");
    cr_expect_eq(txq_flush_some(&q, fds[0], 2), 1);
    txq_drop_unsent(&q);
    cr_expect_eq(q.bytes, 2 + size, "part of its first blob was written");

    push_str(&q, "later");
    cr_expect_eq(txq_flush_some(&q, fds[0], 2), 1);
    txq_drop_unsent(&q);
    cr_expect_eq(q.bytes, size, "just its first blob was written");
    txq_done(&q);
    blob_unref(head);
    blob_unref(body);
}

Test(txq, dropping_what_is_shared_keeps_the_rest_in_order)
{
    struct txq q = {0};
    struct blob *shared = blob_copy(slice_str("shared"));
    char out[64] = {0};
    int fds[2];

    make_pair(fds);
    txq_push_shared(&q, shared);
    txq_push_shared_rest(&q, shared);
    push_str(&q, "own1 ");
    txq_push_shared(&q, shared);
    push_str(&q, "own2 ");
    txq_push_shared(&q, shared);
    cr_expect_eq(txq_flush_some(&q, fds[0], 3), 1, "a part of the first frame");
    txq_drop_shared(&q);
    cr_expect_eq(q.bytes, 9 + 10);
    cr_expect_eq(txq_flush(&q, fds[0]), 1);
    cr_assert_eq(read(fds[1], out, sizeof(out)), 22);
    cr_expect_str_eq(out, "sharedsharedown1 own2 ");
    txq_push_shared(&q, shared);
    txq_drop_shared(&q);
    cr_expect(q.bytes == 0 && q.count == 0);
    txq_done(&q);
    blob_unref(shared);
}

Test(txq, a_counted_blob_counts_once_and_for_as_long_as_it_lives)
{
    size_t held = 0;
    struct txq q = {0};
    struct blob *b = blob_copy(slice_str("12345"));

    blob_count(b, &held);
    cr_expect_eq(held, 5);
    txq_push(&q, b);
    txq_push(&q, b);
    blob_unref(b);
    cr_expect_eq(held, 5);
    txq_done(&q);
    cr_expect_eq(held, 0);
}

Test(txq, dropping_keeps_what_is_held)
{
    struct txq q = {0};
    char got[16];

    push_str(&q, "first");
    push_str(&q, "second");
    push_str(&q, "third");
    txq_hold(&q, 6);
    txq_drop_unsent(&q);
    cr_expect_eq(q.bytes, 11, "held is part of the second");
    txq_copy(&q, got, 6);
    cr_expect_eq(memcmp(got, "firsts", 6), 0);
    txq_advance(&q, 6);
    cr_expect_eq(q.held, 0);
    push_str(&q, "later");
    txq_drop_unsent(&q);
    cr_expect_eq(q.bytes, 5, "the second has begun");
    txq_copy(&q, got, 5);
    cr_expect_eq(memcmp(got, "econd", 5), 0);
    txq_advance(&q, 5);
    push_str(&q, "whole");
    txq_hold(&q, 5);
    push_str(&q, "free");
    txq_drop_unsent(&q);
    cr_expect_eq(q.bytes, 5);
    txq_done(&q);
}
