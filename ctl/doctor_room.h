/*
 * One room on the doctor's table: its segment and what is stored of it, part by part in the order
 * in which a room applies them, and what is wrong with each.
 */
#pragma once

#include "common/names.h"
#include "common/quarantine.h"
#include "ctl/doctor_replay.h"
#include "ctl/doctor_segment.h"
#include "ctl/doctor_store.h"

enum part_kind {
    PART_CHECKPOINT,
    PART_RECORD,
    PART_SNAPSHOT,
    PART_ROW, /* an update in the store */
    PART_UNPUBLISHED,
};

struct part {
    enum part_kind kind;
    uint64_t index;  /* of a record */
    uint64_t offset; /* of a record, in the file */
    uint64_t seq;
    uint64_t session;
    struct slice update;
    char *wrong; /* what the replay says, or NULL */
};

/* What all rooms are examined with. */
struct clinic {
    const char *rooms_dir;
    struct doctor_store *store; /* NULL if it cannot be opened, which is no finding */
    struct replay_limits limits;
};

/* An examined room. */
struct patient {
    char hash[NAME_HASH_HEX + 1];
    struct slice tenant; /* borrowed; of the segment's header if they were not given */
    struct slice room;
    const char *rooms_dir;

    bool has_segment;
    bool is_living; /* a room holds the segment */
    bool is_quarantined;
    struct quarantine quarantine;
    struct scan scan; /* if has_segment */

    bool is_store_open;
    struct stored stored;

    struct part *parts;
    size_t count;
    size_t wrong;           /* parts */
    uint64_t pending_bytes; /* of the document of all others; they wait for what is missing */

    struct buffer findings; /* what is wrong, as lines */
    size_t finding_count;
};

/* Examines a room. `fd`: of its segment, borrowed; negative: there is none. The names may be empty.
 * 0, or -errno if the room cannot be examined; `patient` then is for patient_done() all the same.
 */
WARN_UNUSED int patient_examine(struct patient *patient, const struct clinic *clinic,
                                const char *hash, struct store_key key, int fd);
void patient_done(struct patient *patient);

/* Appends what can be told about the room, for people. */
void patient_print(const struct patient *patient, struct buffer *out);
/* Its name, with the tenant if that is not the usual one. */
void patient_print_name(const struct patient *patient, struct buffer *out);
/* Appends which part it is: "record 3 at byte 4392 (number 8, 47 bytes)". */
void part_print(const struct part *part, struct buffer *out);

#define PATIENT_TENANT "default" /* of clients that have no token */
