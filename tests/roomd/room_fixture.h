/* A real room process; the test plays its supervisor, its gateways and snapshotd. */
#pragma once

#include "peer.h"

#include <sys/types.h>

struct fixture {
    int segment_fd;
    pid_t pid;
    struct peer control;
    struct peer store;
    uint32_t links;
    uint64_t lineage;    /* of the latest link */
    uint64_t stored_seq; /* the same */
    bool is_hasty;       /* idle at once */
};

/* Starts a room on the segment that is there, or on a new one. */
void fixture_start(struct fixture *f);
void fixture_give_store(struct fixture *f);
/* A room that is new, or holds `last_seq`, and is ready. */
void fixture_start_ready(struct fixture *f, uint64_t last_seq);
/* Waits for its end. */
void fixture_expect_exit(struct fixture *f, int expected);
int fixture_wait(struct fixture *f);
void fixture_finish(struct fixture *f);
/* Kills it. */
void fixture_crash(struct fixture *f, struct peer *link);
/* Starts it again from the segment in `fd` (taken), which must be at `seq`. */
void fixture_start_from(struct fixture *f, int fd, uint64_t seq);

/* A link that was welcomed. */
struct peer fixture_new_link(struct fixture *f, bool has_seen, uint64_t seen_seq);
/* The same, with one session that writes format 1. */
struct peer fixture_new_client(struct fixture *f, uint64_t session);
void send_edit(struct peer *link, uint64_t session, uint64_t op, struct slice update);
