/*
 * The inside of the supervisor, shared by supervisor.c and one file each for the rooms (slot.c),
 * the gateways and what they wait for (opens.c), the connection to the store (store_feed.c), the
 * segments and rooms that an earlier supervisor left (leftovers.c, adopt.c), the rooms that are not
 * started (quarantine.c, other_version.c) and what users may no longer do (access.c).
 */
#pragma once

#include "common/access_caps.h"
#include "common/config.h"
#include "common/ipc.h"
#include "common/names.h"
#include "proto/proto.h"
#include "proto/refusal.h"
#include "roomd/slot_state.h"
#include "roomd/tenants.h"
#include "common/hash_table.h"

#include <sys/queue.h>
#include <sys/types.h>

#define ROOMS_MAX 10000u

struct event;
struct supervisor;

/* A gateway's request for a room that is not open yet, or for one whose link has to wait because
 * the gateway or the room does not read what it was sent before. */
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
 * reaped and all that it said was read. An adopted one is reaped by another; its status is never
 * known. */
struct slot {
    struct supervisor *supervisor;
    char hash[NAME_HASH_HEX + 1];
    struct blob *tenant;
    struct tenant *tenant_count;
    struct blob *room;
    enum slot_state state;
    pid_t pid;      /* of a process that is to be reaped */
    int adopted_fd; /* of an adopted process (pidfd_open(2)); -1: it is not adopted */
    struct ipc *control;
    uint32_t links_sent;
    bool wants_store;    /* it has no connection to the store */
    bool is_leftover;    /* counts as one of those that are started from old segments */
    bool was_adopted;    /* the last process was; what `status` says is older */
    int status;          /* as waitpid() gives it */
    char *reason;        /* of the last process, why it could not be; NULL: it said none */
    uint32_t refusal;    /* the same for clients (enum refusal), 0: none */
    enum slot_rest rest; /* of the last process; EDITS if that is not known */
    unsigned failures;
    struct slot_crashes crashes;
    uint64_t started_us; /* the last process, or its adoption */
    uint32_t busy_ms;    /* how long to wait for another process that has the segment */
    struct event *timer; /* the deadline of its state */
    struct open_list parked;
    UT_hash_handle hh;
    UT_hash_handle hh_pid;
};

struct adoptee;
TAILQ_HEAD(adoptee_list, adoptee);

struct supervisor {
    const struct config *config;
    struct loop *loop;
    char *rooms_dir;
    char *adopt_path;
    size_t processes; /* of rooms */
    bool is_stopping;

    struct tenants tenants;
    struct slot *slots;  /* by hash */
    struct slot *by_pid; /* those that are not reaped */

    struct adoptee_list adoptees; /* that have not yet said who they are */

    struct access_caps *caps;
    struct gateway_list gateways;
    struct open_list parked; /* of all rooms, the oldest first */
    struct event *parked_timer;
    bool has_ungranted; /* some are for open rooms and wait for the queues */

    struct ipc *store; /* NULL: not connected */
    char *store_path;
    struct event *store_timer;
    uint32_t store_backoff_ms;
    bool has_unattached; /* rooms may wait for a connection to the store */

    char (*leftovers)[NAME_HASH_HEX + 1];
    size_t leftover_count; /* not yet started */
    size_t leftover_active;

    struct event *quarantine_timer;

    struct event *on_child;
    struct event *stop_timer;
};

/* ---- access.c ---- */

void access_start(struct supervisor *s);
void access_stop(struct supervisor *s);
void access_tell_all(struct gateway *gateway);
WARN_UNUSED int access_handle_cap(struct gateway *from, const struct msg_access_cap *m);

/* ---- slot.c ---- */

struct slot *slot_find(const struct supervisor *s, const char *hash);
/* Starts a room that has no slot yet, for a client: now, or when its tenant may start one more. 0,
 * or why it is not started (enum refusal): there are ROOMS_MAX, or as many as the tenant may have,
 * it is in quarantine, or its segment is of another version. */
WARN_UNUSED uint32_t slot_start(struct supervisor *s, struct slice tenant, struct slice room,
                                struct slot **ret_slot);
/* One of our processes has been reaped. */
void slot_reaped(struct supervisor *s, pid_t pid, int status);
/* The supervisor goes down: the room shall end when it can. One that has no process and something
 * that is not stored is started for that. */
void slot_stop(struct slot *slot);
/* Takes over a room that runs; `control` and `process_fd` too, on success. -EEXIST: the room has
 * another process. */
WARN_UNUSED int slot_adopt(struct supervisor *s, const struct msg_room_adopt *m,
                           struct ipc *control, int process_fd);
/* SIGKILL to its process, if it has one. */
void slot_kill(const struct slot *slot);
/* Lets go of a slot; its process is no concern of this. */
void slot_free(struct slot *slot);

/* ---- adopt.c ---- */

/* Takes the connection of a room that lost its supervisor. */
void adopt_accept(void *supervisor, int fd);
void adopt_stop(struct supervisor *s);

/* ---- next_file.c ---- */

#define NEXT_FILE_SUFFIX ".next" /* behind the name of the room's segment */

/* -EBADMSG: the room must be killed. */
WARN_UNUSED int next_file_handle_replace(struct slot *slot, const struct msg_room_replace *m);
WARN_UNUSED int next_file_handle_rename(struct slot *slot, const struct msg_room_rename *m);
WARN_UNUSED int next_file_handle_failed(struct slot *slot, const struct msg_room_replace_failed *m);
/* What a room that has ended began and did not finish. */
void next_file_remove(const struct slot *slot);

/* ---- opens.c ---- */

/* Takes a gateway's connection. */
void gateway_accept(void *supervisor, int fd);
void gateway_free(struct gateway *gateway);
/* Gateways that read their answers again are heard again. */
void gateways_resume(struct supervisor *s);
/* Every open that waits for the room gets a link, or stays parked while the queues are long. */
void opens_grant(struct slot *slot);
/* Goes on with those. Called in every turn, so also when a queue has become shorter. */
void opens_continue(struct supervisor *s);
void opens_refuse(struct slot *slot, uint32_t refusal); /* enum refusal */
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

/* ---- quarantine.c ---- */

/* Counts the rooms that are in quarantine, and goes on counting while there are any. */
void quarantine_start(struct supervisor *s);
void quarantine_stop(struct supervisor *s);
/* Puts the room of a slot into quarantine. */
void quarantine_slot(const struct slot *slot);
/* The same for a segment that is too damaged to say whose it is. */
void quarantine_segment(struct supervisor *s, const char *hash);

/* ---- other_version.c ---- */

/* Is there a segment of another version at the room's place, with what may not be stored? Then the
 * log says so. One with which nothing is lost is removed. */
bool other_version_holds(const struct supervisor *s, const char *hash);

/* ---- leftovers.c ---- */

/* Lists the segments that are there. -errno if the directory cannot be read. */
WARN_UNUSED int leftovers_scan(struct supervisor *s);
/* Starts rooms for them, a few at a time. */
void leftovers_continue(struct supervisor *s);
