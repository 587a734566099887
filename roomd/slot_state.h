/*
 * slot_state: the life of one room as its supervisor sees it. Pure: slots.c does what it says.
 *
 *     STARTING --ready--> OPEN --idle--> CLOSING --ended, all stored--> GONE
 *        ^  \               \               \---ended, opens wait--> STARTING
 *        |   \---ended-------\---ended-------\---ended, something unstored--> CRASHED
 *        \--retry, adopted-- CRASHED --retry, all stored, nobody waits--> GONE
 *
 *     any of them --ended, and starting again does not help--> QUARANTINED
 *
 * Opens that come in any state but OPEN are parked and answered when the room is OPEN (again), so
 * no client ever joins a dying room.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define SLOT_BACKOFF_MIN_MS 100u
#define SLOT_BACKOFF_MAX_MS 5000u
#define SLOT_STABLE_MS      60000u /* a room that lived so long starts with no failures */
#define SLOT_CLOSING_MS     5000u  /* a closing room that takes longer is killed */

/* A room that crashes so often in such a time is not started again. */
#define SLOT_CRASHES_MAX       5u
#define SLOT_CRASHES_WINDOW_MS 60000u

enum slot_state {
    SLOT_STARTING,    /* the process runs and loads */
    SLOT_OPEN,        /* links are handed out */
    SLOT_CLOSING,     /* it was told to close */
    SLOT_CRASHED,     /* no process of ours; started (again) after a delay */
    SLOT_GONE,        /* nothing is left to do */
    SLOT_QUARANTINED, /* the same; its marker keeps it from being started */
};

enum slot_event {
    SLOT_EVENT_READY,   /* the room has loaded */
    SLOT_EVENT_IDLE,    /* the room says that it is unused and that all is stored */
    SLOT_EVENT_ENDED,   /* the process has ended */
    SLOT_EVENT_RETRY,   /* the delay of CRASHED is over */
    SLOT_EVENT_ADOPTED, /* a process of an earlier supervisor has come */
};

/* What the process left behind in its segment. */
enum slot_rest {
    SLOT_REST_NOTHING, /* all is stored, or nothing was ever in it */
    SLOT_REST_EDITS,   /* something may not be stored */
    SLOT_REST_DAMAGED, /* kept, but starting again does not help */
};

struct slot_facts {
    bool has_parked;       /* opens wait */
    bool has_links_on_way; /* the room has not yet received every link that it was sent */
    bool is_stopping;      /* the supervisor goes down; what is not stored is to be, even then */
    bool is_hopeless;      /* it crashed too often, or somebody put it into quarantine */
    enum slot_rest rest;   /* for ENDED and RETRY */
};

/* The state after the event; the same one if the event means nothing in it. */
enum slot_state slot_next(enum slot_state state, enum slot_event event,
                          const struct slot_facts *facts);

/* The delay before a room is started again that failed `failures` times in a row: none at first. */
uint32_t slot_backoff_ms(unsigned failures);

/* The moments of the last crashes. Zeroed: none. */
struct slot_crashes {
    uint64_t at_ms[SLOT_CRASHES_MAX]; /* a ring, by `count` */
    unsigned count;                   /* ever */
};

/* A crash at `now_ms` (monotonic). */
void slot_crashes_add(struct slot_crashes *crashes, uint64_t now_ms);
/* How many of the last SLOT_CRASHES_MAX were in the window that ends with `now_ms`. */
unsigned slot_crashes_recent(const struct slot_crashes *crashes, uint64_t now_ms);

const char *slot_state_name(enum slot_state state);
