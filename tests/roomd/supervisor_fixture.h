/* A real supervisor with real rooms in a temporary directory; the test plays gateway and snapshotd.
 * The room is `demo` where none is named. Whatever happens to the test, no process is left of it.
 */
#pragma once

#include "common/config.h"
#include "common/names.h"
#include "common/segment.h"
#include "peer.h"

#include <sys/types.h>

struct fixture {
    char dir[64];
    struct config config;
    pid_t guard; /* the process group of the supervisor and its rooms */
    int guard_fd;
    pid_t pid;
    int store_listener;
    struct peer store;   /* the supervisor's connection to snapshotd */
    struct peer gateway; /* ours to the supervisor */
    uint32_t requests;
};

void fixture_start(struct fixture *f);
void fixture_finish(struct fixture *f);
/* The same with the room open, and empty: its connection to the store and a link. */
void fixture_start_demo(struct fixture *f, struct peer *ret_store, struct peer *ret_link);
/* Closes both and ends the supervisor by the signal. */
void fixture_finish_demo(struct fixture *f, struct peer *store, struct peer *link, int sig);
void fixture_start_supervisor(struct fixture *f);
/* `sig` 0: it ends on its own, in order. */
void fixture_end_supervisor(struct fixture *f, int sig);
void fixture_connect_gateway(struct fixture *f);
void fixture_accept_store(struct fixture *f);
/* snapshotd's part: takes the next room and answers that the store holds nothing beyond it. */
struct peer fixture_serve_store(struct fixture *f, bool has_segment);

void fixture_ask(struct fixture *f, const char *room);
/* The link that the last fixture_ask() brings. */
struct peer fixture_take_link(struct fixture *f);
/* Asks, and is refused: why. */
uint32_t fixture_refusal(struct fixture *f);
void make_edit(struct peer *link, uint8_t client);

void hash_of_demo(char ret_hash[NAME_HASH_HEX + 1]);
int fixture_open_segment(const struct fixture *f, struct segment_view **ret_view);
pid_t fixture_room_pid(const struct fixture *f);
/* Another process than `before` has opened the segment. */
pid_t fixture_new_room_pid(const struct fixture *f, pid_t before);
/* Its segment goes. */
void fixture_expect_closed(const struct fixture *f);
