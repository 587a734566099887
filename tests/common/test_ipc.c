#include "common/ipc.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>

struct side {
    struct ipc *ipc;
    size_t frames;
    size_t bytes;
    uint8_t last;
    int fd;
    int ended; /* 1: in order, else -errno */
    bool wants_fd;
    size_t pause_at; /* pauses after this many frames */
};

static struct loop *loop;

static void on_frame(void *ctx, struct slice body)
{
    struct side *s = ctx;

    s->frames++;
    s->bytes += body.len;
    s->last = body.data[body.len - 1];
    if (s->wants_fd && body.data[0] == 'F')
        s->fd = ipc_take_fd(s->ipc);
    if (s->pause_at && s->frames == s->pause_at)
        ipc_set_paused(s->ipc, true);
}

static void on_end(void *ctx, int error)
{
    struct side *s = ctx;

    s->ended = error ? error : 1;
    ipc_close(s->ipc);
    s->ipc = NULL;
}

static const struct ipc_handler handler = {.on_frame = on_frame, .on_end = on_end};

static struct blob *frame(size_t len, char fill)
{
    struct blob *b = blob_new(IPC_HEADER + len);

    for (size_t i = 0; i < IPC_HEADER; i++)
        b->data[i] = (uint8_t)(len >> (8 * i));
    memset(b->data + IPC_HEADER, fill, len);
    return b;
}

static void open_pair(struct side *a, struct side *b)
{
    int fds[2];

    loop = loop_new();
    cr_assert_eq(ipc_pair(fds), 0);
    a->ipc = ipc_new(loop, fds[0], &handler, a);
    b->ipc = ipc_new(loop, fds[1], &handler, b);
    a->fd = b->fd = -1;
}

static void turn(void)
{
    (void)event_base_loop(loop_base(loop), EVLOOP_NONBLOCK);
}

static void close_pair(struct side *a, struct side *b)
{
    ipc_close(a->ipc);
    ipc_close(b->ipc);
    loop_free(loop);
}

Test(ipc, frames_arrive_whole_and_in_order)
{
    struct side a = {0};
    struct side b = {0};
    size_t total = 0;

    open_pair(&a, &b);
    for (size_t i = 0; i < 300; i++) {
        size_t len = 1 + i * i * 7 % 30000;
        total += len;
        ipc_send_new(a.ipc, frame(len, (char)i));
    }
    cr_expect_gt(ipc_queued_bytes(a.ipc), 0, "more than the socket takes");
    for (int i = 0; i < 10000 && b.frames < 300; i++)
        turn();
    cr_expect_eq(b.frames, 300);
    cr_expect_eq(b.bytes, total);
    cr_expect_eq(b.last, (uint8_t)299);
    cr_expect_eq(ipc_queued_bytes(a.ipc), 0);
    close_pair(&a, &b);
}

Test(ipc, a_large_frame_passes)
{
    struct side a = {0};
    struct side b = {0};

    open_pair(&a, &b);
    ipc_send_new(a.ipc, frame(40 << 20, 'x'));
    ipc_send_new(a.ipc, frame(3, 'y'));
    for (int i = 0; i < 100000 && b.frames < 2; i++)
        turn();
    cr_expect_eq(b.frames, 2);
    cr_expect_eq(b.bytes, (40 << 20) + 3);
    close_pair(&a, &b);
}

Test(ipc, descriptors_come_with_their_frame)
{
    struct side a = {0};
    struct side b = {.wants_fd = true};
    int fds[2];
    char c = 0;

    open_pair(&a, &b);
    /* Behind a queue that is already waiting, and in front of more. */
    for (int i = 0; i < 20; i++)
        ipc_send_new(a.ipc, frame(60000, 'n'));
    cr_assert_eq(pipe(fds), 0);
    ipc_send_fd(a.ipc, frame(10, 'F'), fds[1]);
    ipc_send_new(a.ipc, frame(10, 'n'));
    for (int i = 0; i < 10000 && b.frames < 22; i++)
        turn();
    cr_assert_eq(b.frames, 22);
    cr_assert_geq(b.fd, 0);
    cr_expect_eq(write(b.fd, "!", 1), 1);
    cr_expect_eq(read(fds[0], &c, 1), 1);
    cr_expect_eq(c, '!');
    close(b.fd);
    cr_expect_eq(read(fds[0], &c, 1), 0, "the sender's copy is closed");
    close(fds[0]);
    close_pair(&a, &b);
}

Test(ipc, too_many_untaken_descriptors_end_the_connection)
{
    struct side a = {0};
    struct side b = {0};

    open_pair(&a, &b);
    for (int i = 0; i < IPC_FDS_MAX + 1; i++)
        ipc_send_fd(a.ipc, frame(2, 'F'), dup(0));
    for (int i = 0; i < 100 && !b.ended; i++)
        turn();
    cr_expect_eq(b.ended, -EBADMSG);
    close_pair(&a, &b);
}

Test(ipc, a_descriptor_without_a_number_is_told_with_its_frame)
{
    struct side a = {0};
    struct side b = {.wants_fd = true};
    struct rlimit before, none_left;

    open_pair(&a, &b);
    ipc_send_fd(a.ipc, frame(2, 'F'), dup(0));
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none_left = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none_left), 0);
    for (int i = 0; i < 100 && b.frames < 1; i++)
        turn();
    cr_expect_eq(b.frames, 1);
    cr_expect_eq(b.fd, -EMFILE);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    ipc_send_fd(a.ipc, frame(2, 'F'), dup(0));
    for (int i = 0; i < 100 && b.frames < 2; i++)
        turn();
    cr_expect_geq(b.fd, 0, "the next one is there");
    cr_expect_eq(b.ended, 0);
    close(b.fd);
    close_pair(&a, &b);
}

Test(ipc, pausing_holds_frames_back)
{
    struct side a = {0};
    struct side b = {.pause_at = 2};

    open_pair(&a, &b);
    for (int i = 0; i < 5; i++)
        ipc_send_new(a.ipc, frame(5, 'p'));
    for (int i = 0; i < 10; i++)
        turn();
    cr_expect_eq(b.frames, 2);
    b.pause_at = 0;
    ipc_set_paused(b.ipc, false);
    for (int i = 0; i < 10; i++)
        turn();
    cr_expect_eq(b.frames, 5, "without another byte from the peer");
    close_pair(&a, &b);
}

Test(ipc, the_end_is_told_once)
{
    struct side a = {0};
    struct side b = {0};

    open_pair(&a, &b);
    ipc_send_new(a.ipc, frame(5, 'p'));
    ipc_close(a.ipc);
    a.ipc = NULL;
    for (int i = 0; i < 10; i++)
        turn();
    cr_expect_eq(b.frames, 1, "what was sent before arrives");
    cr_expect_eq(b.ended, 1);
    close_pair(&a, &b);
}

Test(ipc, lengths_that_no_frame_has_are_refused)
{
    static const uint8_t bad[][4] = {{0, 0, 0, 0}, {0xff, 0xff, 0xff, 0xff}, {1, 0, 0, 0x10}};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct side b = {0};
        int fds[2];
        loop = loop_new();
        cr_assert_eq(ipc_pair(fds), 0);
        b.ipc = ipc_new(loop, fds[1], &handler, &b);
        cr_assert_eq(write(fds[0], bad[i], 4), 4);
        for (int k = 0; k < 10 && !b.ended; k++)
            turn();
        cr_expect_eq(b.ended, -EBADMSG, "row %zu", i);
        close(fds[0]);
        loop_free(loop);
    }
}

Test(ipc, writing_to_a_dead_peer_ends_the_connection)
{
    struct side b = {0};
    int fds[2];

    loop = loop_new();
    cr_assert_eq(ipc_pair(fds), 0);
    b.ipc = ipc_new(loop, fds[1], &handler, &b);
    ipc_set_paused(b.ipc, true);
    close(fds[0]);
    ipc_send_new(b.ipc, frame(5, 'x'));
    for (int k = 0; k < 10 && !b.ended; k++)
        turn();
    cr_expect_eq(b.ended, -EPIPE);
    loop_free(loop);
}

/* A room that fails says why and ends: whoever writes to it just then hears of it all the same. */
Test(ipc, the_last_words_of_a_dead_peer_arrive)
{
    struct side a = {0};
    struct side b = {0};

    open_pair(&a, &b);
    for (int i = 0; i < 3; i++)
        ipc_send_new(a.ipc, frame(5, (char)('p' + i)));
    ipc_close(a.ipc);
    a.ipc = NULL;
    ipc_send_new(b.ipc, frame(5, 'x'));
    for (int k = 0; k < 10 && !b.ended; k++)
        turn();
    cr_expect_eq(b.frames, 3);
    cr_expect_eq(b.last, 'r');
    cr_expect_eq(b.ended, -EPIPE);
    close_pair(&a, &b);
}
