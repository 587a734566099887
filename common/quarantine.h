/*
 * quarantine: rooms that are not started. A marker `HASH.quarantined` beside a room's segment
 * (which keeps its name and its bytes) says that roomd does not run the room and that joins are
 * refused. roomd writes it, whoever repairs or releases the room removes it; the next join starts
 * the room.
 *
 * The marker is text for people, one `name = value` a line. That it is there counts, not what is in
 * it: one that could not be written whole holds the room all the same.
 */
#pragma once

#include "common/memory.h"
#include "common/slice.h"

#define QUARANTINE_SUFFIX ".quarantined"

enum quarantine_reason {
    QUARANTINE_UNKNOWN, /* of a marker that does not say */
    QUARANTINE_CRASHES, /* the room crashed again and again */
    QUARANTINE_DAMAGE,  /* its segment is damaged */
    QUARANTINE_REPAIR,  /* an operator repairs it, or has begun to */
};

struct quarantine {
    enum quarantine_reason reason;
    uint64_t since_ms;    /* wall clock */
    uint32_t crashes;     /* in the minute before */
    uint32_t last_signal; /* that ended the room's process; 0: none, or not known */
    char
        detail[3 * 255 + 1]; /* what the room said itself, as text like the names; empty: nothing */
    char tenant[3 * 255 + 1]; /* as text: control characters and % as %XX; empty: not known */
    char room[3 * 255 + 1];
};

/* Set `tenant` and `room`, and `detail`; all cut at 255 bytes. */
void quarantine_set_names(struct quarantine *q, struct slice tenant, struct slice room);
void quarantine_set_detail(struct quarantine *q, struct slice detail);

/* Is the room of `hash` (common/names.h) in quarantine? Also if that cannot be told. */
bool quarantine_is_set(const char *rooms_dir, const char *hash);
/* Writes the marker; one that is there stays as it is. 0 or -errno. */
WARN_UNUSED int quarantine_set(const char *rooms_dir, const char *hash, const struct quarantine *q);
/* 0, -ENOENT without a marker, other -errno. What the marker does not say is 0 or empty. */
WARN_UNUSED int quarantine_read(const char *rooms_dir, const char *hash, struct quarantine *ret);
/* 0, also if there is none, or -errno. */
WARN_UNUSED int quarantine_clear(const char *rooms_dir, const char *hash);

/* The word for a reason, as in the marker: "crashes", "damage", "repair", "unknown". */
const char *quarantine_reason_name(enum quarantine_reason reason);
