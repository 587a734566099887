/* A snapshotd of this test's own, in a child process, and the rooms and the roomd that talk to it.
 */
#pragma once

#include "common/segment.h"
#include "crdt/crdt.h"
#include "proto/proto.h"
#include "snapshotd/store.h"

#include <sys/types.h>

enum fault {
    FAULT_NONE,
    FAULT_BEFORE, /* the second transaction fails and nothing of it is stored */
    FAULT_AFTER,  /* it is stored, and still reported as failed */
    FAULT_READ,   /* no transaction fails, but the first load of a room's parts takes too long */
    FAULT_STALE,  /* it is stored unheard, and then refused as stored already */
};

struct daemon {
    char dir[256];
    char *data;
    char *rooms;
    pid_t pid;
    int roomd; /* the connection of roomd */
};

/* Starts one on `dir`, made before by make_test_dir(). */
void daemon_start(struct daemon *d, enum fault fault, uint32_t snapshot_updates);
/* The process that forks its folds. */
pid_t daemon_fold_server(const struct daemon *d);
/* Sends `sig` and returns the wait status. */
int daemon_stop(struct daemon *d, int sig);
void daemon_done(struct daemon *d);

/* As roomd: hands over a room; the room's end of the connection. */
int daemon_follow(struct daemon *d, const char *room);

/* Frames on a blocking socket, which fail the test after some seconds of silence. */
void send_frame(int fd, struct blob *frame);
/* The body of the next frame, to be freed with buffer_done(); empty at the end of the stream. */
struct buffer receive_frame(int fd);

void room_send_open(int fd, bool has_segment, uint64_t last_seq);
/* The same with a segment of another lineage, and what its room was told is stored. */
void room_send_open_as(int fd, uint64_t lineage, uint64_t last_seq, uint64_t stored_seq);
void room_send_dirty(int fd, uint64_t last_seq);
/* Receives updates, merged into `doc` (NULL: there must be none), until STORE_LOADED; returns its
 * number. `ret_parts` may be NULL. */
uint64_t room_receive_loaded(int fd, struct crdt_doc *doc, int *ret_parts);
/* Receives until STORE_STORED says at least `seq`; it must not say more. */
void room_expect_stored(int fd, uint64_t seq);
void expect_end(int fd);

/* The segment of a room, as the room writes it. */
struct segment *segment_of(struct daemon *d, const char *room, uint64_t base_seq,
                           struct slice checkpoint);
/* Damages the byte at `offset` of its file. */
void overwrite_segment(struct daemon *d, const char *room, uint64_t offset);
/* Inserts `text` at the end of the root "body" and appends that edit as `seq`. */
void segment_type(struct segment *s, struct crdt_doc *doc, uint64_t seq, const char *text);
void assert_body(const struct crdt_doc *doc, const char *text);
