/*
 * A gateway in a process of its own, and in the test's hands everything around it: roomd, rooms and
 * clients, all with blocking sockets that give up after a few seconds.
 */
#pragma once

#include "common/blob.h"
#include "common/segment.h"
#include "proto/proto.h"

#include <sys/types.h>

#define MESSAGE_BYTES (4u << 20) /* the largest message of a client */

struct gateway_under_test {
    pid_t pid;
    uint32_t port;
    char dir[64];
    int roomd_listener;
    int roomd; /* the gateway's connection to roomd */
};

/* Starts a gateway and accepts its connection to roomd; ends it, which must go in order. */
void harness_start(struct gateway_under_test *g);
void harness_stop(struct gateway_under_test *g);
/* Accepts the gateway's connection to roomd. */
void harness_accept_roomd(struct gateway_under_test *g);

/* ---- as roomd and as a room ---- */

/* The next message, which must be of this code. `*ret_body` is the caller's. */
struct slice peer_expect(int fd, enum proto_code code, struct blob **ret_body);
/* Nothing comes for a while (100 ms), or the stream ends. */
bool peer_is_quiet(int fd);
bool peer_has_ended(int fd);
void peer_send(int fd, struct blob *frame);
/* False if the gateway has closed the link. */
bool peer_try_send(int fd, struct blob *frame);
void peer_send_fd(int fd, struct blob *frame, int passed);

#define PEER_EXPECT(fd, name, NAME, ret)                                                           \
    struct blob *ret##_body CLEANUP_BLOB = NULL;                                                   \
    struct msg_##name ret = {0};                                                                   \
    cr_assert(proto_decode_##name(peer_expect(fd, PROTO_##NAME, &ret##_body), &ret) == 0);
#define PEER_SEND(fd, name, ...)                                                                   \
    peer_send(fd, proto_encode_##name(&(struct msg_##name){__VA_ARGS__}))

static inline void cleanup_blob(struct blob **b)
{
    blob_unref(*b);
}
#define CLEANUP_BLOB __attribute__((cleanup(cleanup_blob)))

/* Answers the gateway's question for a room; returns the room's end of the link, on which the
 * gateway's first message was checked to be LINK_OPEN with this `seen_seq` (-1: none). Then the
 * link is subscribed, unless it is left to the test. */
int roomd_open_room(struct gateway_under_test *g, const char *room, int64_t seen_seq);
int roomd_open_room_only(struct gateway_under_test *g, const char *room, int64_t seen_seq);
void room_subscribe(int room);
/* The number of the session that joins next. */
uint64_t room_expect_join(int room, uint32_t format);

/* ---- as a room's segment ---- */

/* A new segment at the room's place, which replaces what is there; for segment_free(). */
struct segment *room_segment(const struct gateway_under_test *g, const char *room,
                             uint64_t base_seq, struct slice checkpoint);
void segment_add(struct segment *segment, uint64_t seq, struct slice update);
/* The update (v1) by which `client` adds `len` times the same letter to the root text `t`, from its
 * clock `clock` on. */
struct blob *text_update(uint64_t client, uint64_t clock, char letter, size_t len);

/* ---- as a client ---- */

int client_connect(const struct gateway_under_test *g);
void client_write(int fd, const void *bytes, size_t len);
/* Sends a request and reads the answer's head; returns the status. */
unsigned client_request(int fd, const char *request);
/* A connected WebSocket at this path. */
int client_open(const struct gateway_under_test *g, const char *path);
void client_send(int fd, uint8_t opcode, const void *payload, size_t len);
/* The next frame but pings: its opcode, and the payload, which is the caller's. */
uint8_t client_receive(int fd, struct blob **ret_payload);
void client_expect(int fd, uint8_t opcode, const void *payload, size_t len);
/* The next frame closes with this code. */
void client_expect_close(int fd, unsigned code);
bool client_has_ended(int fd);
