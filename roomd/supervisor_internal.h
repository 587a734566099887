/*
 * The inside of the supervisor, shared by supervisor.c and one file each for the rooms (slot.c),
 * the gateways and what they wait for (opens.c), the connection to the store (store_feed.c) and the
 * segments that an earlier supervisor left (leftovers.c).
 */
#pragma once

#include "common/config.h"
#include "common/ipc.h"
#include "common/names.h"
#include "proto/proto.h"
#include "proto/refusal.h"
#include "roomd/slot_state.h"
#include "common/hash_table.h"

#include <sys/queue.h>
#include <sys/types.h>

#define ROOMS_MAX 10000u

struct event;
struct supervisor;

/* A gateway's request for a room that is not open yet. */
struct open {
    struct gateway *gateway;
    struct slot *slot;
    uint32_t request;
    uint64_t deadline_ms;
    TAILQ_ENTRY(open) of_slot;
    TAILQ_ENTRY(open) of_all;
};

TAILQ_HEAD(open_list, open);

struct gateway {
    struct supervisor *supervisor;
    struct ipc *ipc;
    bool is_paused; /* it does not read its answers */
    TAILQ_ENTRY(gateway) gateways;
};

TAILQ_HEAD(gateway_list, gateway);

/* One room. It has a process while `pid` is not 0 or `control` not NULL: it has ended when it was
 * reaped and all that it said was read. */
struct slot {
    struct supervisor *supervisor;
    char hash[NAME_HASH_HEX + 1];
    struct blob *tenant;
    struct blob *room;
    enum slot_state state;
    pid_t pid;
    struct ipc *control;
    uint32_t links_sent;
    bool wants_store;    /* it has no connection to the store */
    bool is_leftover;    /* counts as one of those that are started from old segments */
    int status;          /* as waitpid() gives it */
    enum slot_rest rest; /* of the last process; EDITS if that is not known */
    unsigned failures;
    uint64_t started_ms;
    struct event *timer; /* the deadline of its state */
    struct open_list parked;
    UT_hash_handle hh;
    UT_hash_handle hh_pid;
};

struct supervisor {
    const struct config *config;
    struct loop *loop;
    char *rooms_dir;
    bool is_stopping;

    struct slot *slots;  /* by hash */
    struct slot *by_pid; /* those that are not reaped */

    struct gateway_list gateways;
    struct open_list parked; /* of all rooms, the oldest first */
    struct event *parked_timer;

    struct ipc *store; /* NULL: not connected */
    char *store_path;
    struct event *store_timer;
    uint32_t store_backoff_ms;
    bool has_unattached; /* rooms may wait for a connection to the store */

    char (*leftovers)[NAME_HASH_HEX + 1];
    size_t leftover_count; /* not yet started */
    size_t leftover_active;

    struct event *on_child;
    struct event *stop_timer;
};

/* Monotonic milliseconds at the moment. */
uint64_t supervisor_now_ms(void);
void timer_arm(struct event *timer, uint64_t ms);

/* ---- slot.c ---- */

struct slot *slot_find(const struct supervisor *s, const char *hash);
/* Starts a room that has no slot yet; NULL if there are ROOMS_MAX. */
struct slot *slot_start(struct supervisor *s, struct slice tenant, struct slice room);
/* One of our processes has been reaped. */
void slot_reaped(struct supervisor *s, pid_t pid, int status);
/* The supervisor goes down: the room shall end when it can. One that has no process and something
 * that is not stored is started for that. */
void slot_stop(struct slot *slot);
/* Lets go of a slot; its process is no concern of this. */
void slot_free(struct slot *slot);

/* ---- opens.c ---- */

/* Takes a gateway's connection. */
void gateway_accept(void *supervisor, int fd);
void gateway_free(struct gateway *gateway);
/* Gateways that read their answers again are heard again. */
void gateways_resume(struct supervisor *s);
/* Every open that waits for the room gets a link. */
void opens_grant(struct slot *slot);
void opens_refuse(struct slot *slot, enum refusal refusal);
void opens_on_timer(struct supervisor *s);

/* ---- store_feed.c ---- */

void store_feed_start(struct supervisor *s);
void store_feed_stop(struct supervisor *s);
/* Connects a room to the store, now if possible. */
void store_feed_attach(struct slot *slot);
/* The same after a while: what ended may end again. */
void store_feed_attach_later(struct slot *slot);
/* Connects those that had to wait. Called in every turn. */
void store_feed_continue(struct supervisor *s);

/* ---- leftovers.c ---- */

/* Lists the segments that are there. -errno if the directory cannot be read. */
WARN_UNUSED int leftovers_scan(struct supervisor *s);
/* Starts rooms for them, a few at a time. */
void leftovers_continue(struct supervisor *s);
