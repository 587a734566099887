/*
 * What is in a segment file, also in one that no room can open: every record that is whole, and
 * where the others were. Records lie on multiples of 8 and their CRC is seeded with the file's id,
 * so those behind damage are found by looking for them.
 */
#pragma once

#include "common/buffer.h"
#include "common/memory.h"
#include "common/segment.h"

#define SCAN_FILE_MAX ((uint64_t)1 << 30) /* bytes; what is larger was written by no room */

enum scan_kind {
    SCAN_CHECKPOINT,
    SCAN_RECORD,
    SCAN_UNPUBLISHED, /* whole, behind the published end: a room was working on it */
    SCAN_DAMAGE,      /* bytes that are no record, where one was */
};

struct scan_piece {
    enum scan_kind kind;
    bool is_damaged;       /* a checkpoint whose CRC does not hold; always so for SCAN_DAMAGE */
    uint64_t index;        /* among the records, from 1; not of the checkpoint */
    uint64_t offset;       /* in the file */
    uint64_t size;         /* bytes in the file */
    uint64_t seq;          /* of the checkpoint its base_seq; of damage the first that is missing */
    uint64_t last_missing; /* of damage: where that is known, else 0 */
    uint64_t session;
    struct slice payload; /* in the scan; empty for damage */
};

struct scan {
    struct buffer bytes; /* of the file */
    bool is_segment;
    struct segment_header header; /* of a segment */
    bool is_header_sound;         /* its names, numbers and lineage can be relied on */
    const char *problem;          /* of the file as a whole, or NULL */
    bool is_foreign;       /* of another version of the format: only `header.version` counts */
    bool is_empty;         /* unfinished, or of another version and all stored: not needed */
    bool is_of_other_boot; /* left by a power loss: the pieces are those that a room takes */
    bool is_cut;           /* the same: what follows them is not whole, and no room takes it */
    bool is_torn;      /* there is a torn record behind the published end, as a crash leaves it */
    uint64_t last_seq; /* the highest that is published or was, as far as it can be told */
    struct scan_piece *pieces; /* as in the file */
    size_t count;
    size_t damaged; /* pieces */
};

/* Reads and examines the segment in `fd`. `is_living`: a room writes to it, so what is behind the
 * published end is left alone. 0; -EFBIG, -ENOMEM, other -errno. */
WARN_UNUSED int scan_read(int fd, bool is_living, struct scan *ret_scan);
void scan_done(struct scan *scan);
