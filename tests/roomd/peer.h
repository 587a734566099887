/* A process of Concord, played by a test: frames over a socket, blocking, with a deadline. A test
 * that waits longer, or gets another message than it expects, fails. */
#pragma once

#include "common/buffer.h"
#include "proto/proto.h"

#define PEER_FDS_MAX 8

struct peer {
    int fd;
    struct buffer in;
    size_t delivered; /* bytes of the frame last returned */
    int fds[PEER_FDS_MAX];
    size_t fd_count;
};

struct peer peer_new(int fd);
void peer_close(struct peer *p);

/* Takes `frame`. */
void peer_send(struct peer *p, struct blob *frame);
/* Also takes `fd`. */
void peer_send_fd(struct peer *p, struct blob *frame, int fd);

/* The next frame's body, which must be a `code`; valid until the next call. */
struct slice peer_expect(struct peer *p, enum proto_code code);
/* The next frame's code, -1 at the end of the stream. The frame stays the next one. */
int peer_peek(struct peer *p);
/* Nothing comes any more, and the other end is closed. */
void peer_expect_end(struct peer *p);
/* A descriptor that came. */
int peer_take_fd(struct peer *p);

/* struct msg_NAME m = EXPECT(&peer, name, NAME); */
#define EXPECT(peer, name, NAME)                                                                   \
    ({                                                                                             \
        struct msg_##name expected_;                                                               \
        cr_assert_eq(proto_decode_##name(peer_expect((peer), PROTO_##NAME), &expected_), 0);       \
        expected_;                                                                                 \
    })
/* SEND(&peer, name, .field = value, …); */
#define SEND(peer, name, ...)                                                                      \
    peer_send((peer), proto_encode_##name(&(struct msg_##name){__VA_ARGS__}))
