/*
 * segment: a room in shared memory. One file per open room:
 *
 *     [header page][checkpoint: the document as one v1 update][log: records since]
 *
 * The room is the only writer. It appends with pwrite (a full file system is an error, not a
 * SIGBUS), into space reserved by fallocate, and then publishes the committed length in the header
 * with a release store. Readers map the file read-only, load that length with acquire and never
 * look beyond it; they need no message and never disturb the writer. Layout and record format: the
 * structures below, little-endian, pinned by golden files.
 *
 * A record's CRC32C is seeded with the file's random id, so bytes of an older file never validate.
 */
#pragma once

#include "common/memory.h"
#include "common/slice.h"

#include <stdatomic.h>

#define SEGMENT_HEADER_BYTES 4096u
#define SEGMENT_MAGIC        UINT64_C(0x3147455344434e43) /* "CNCDSEG1" */
#define SEGMENT_VERSION      1u

enum segment_flag {
    SEGMENT_CLOSED = 1u << 0,     /* the room ended in order; everything in it is stored */
    SEGMENT_SUPERSEDED = 1u << 1, /* a newer file has the name; open it again */
};

/* The first page of the file. What is above `committed` is written once, before `magic`. */
struct segment_header {
    uint64_t magic; /* written last: a file without it was never finished and holds nothing */
    uint32_t version;
    uint32_t header_bytes;
    uint64_t file_id;        /* random; seeds the CRC of every record */
    uint64_t base_seq;       /* the checkpoint holds everything up to this sequence */
    uint64_t checkpoint_len; /* bytes, directly after the header page */
    uint32_t checkpoint_crc;
    uint16_t tenant_len;
    uint16_t room_len;
    char tenant[256];
    char room[256];

    _Alignas(64) _Atomic uint64_t committed; /* file offset behind the last published record */
    _Atomic uint64_t last_seq;               /* of that record; base_seq without any */

    /* Live figures for operators; the room updates them as it goes. */
    _Alignas(64) _Atomic uint64_t stored_seq; /* what the store has committed */
    _Atomic uint64_t updates;                 /* accepted since the room was started */
    _Atomic uint64_t structs;
    _Atomic uint64_t pending_bytes;
    _Atomic uint64_t last_activity_ms; /* wall clock */
    _Atomic uint64_t started_ms;       /* wall clock */
    _Atomic uint32_t pid;
    _Atomic uint32_t clients;
    _Atomic uint32_t flags; /* enum segment_flag */
};

_Static_assert(sizeof(struct segment_header) <= SEGMENT_HEADER_BYTES, "header is one page");

/* Directly before each payload; the next record begins at the next multiple of 8. */
struct segment_record_header {
    uint32_t len; /* of the payload; 0 marks the end */
    uint32_t crc; /* CRC32C over file_id and everything of the record but this field */
    uint64_t seq;
    uint64_t session;
    uint32_t kind;
    uint32_t reserved; /* 0 */
};

_Static_assert(sizeof(struct segment_record_header) == 32, "record header is 32 bytes");

enum segment_kind {
    SEGMENT_UPDATE_V1 = 1, /* payload: a Yjs v1 update */
};

struct segment_record {
    uint64_t seq;     /* of the room, ascending */
    uint64_t session; /* the author's, 0 if none */
    uint32_t kind;    /* enum segment_kind */
    struct slice payload;
};

/* ---- writer ---- */

struct segment;

/* Writes a new segment into `fd` (empty or unfinished; taken over on success): header, checkpoint,
 * an empty log. 0 or -errno (-ENOSPC with nothing published). */
WARN_UNUSED int segment_create(int fd, struct slice tenant, struct slice room, uint64_t base_seq,
                               struct slice checkpoint, struct segment **ret_segment);

/* What recovery found out; written on success and on -EBADMSG. */
struct segment_recovery {
    uint64_t end;       /* file offset behind the last valid record */
    bool has_torn_tail; /* a record that was never published was cut off there */
};

/* Opens what an earlier room left in `fd` (taken over on success). Cuts a torn tail. -ENODATA: the
 * file is empty or unfinished; -EBADMSG: it is damaged before its committed end. `ret_recovery` may
 * be NULL. */
WARN_UNUSED int segment_recover(int fd, struct segment **ret_segment,
                                struct segment_recovery *ret_recovery);

void segment_free(struct segment *s);

/* Bytes that a record with this payload takes in the file. */
size_t segment_record_bytes(size_t payload_len);

/* Makes sure that `bytes` more can be appended: 0, or -ENOSPC and nothing is changed. Asked before
 * an edit is applied, so that what is applied can always be appended. Not cumulative: a batch asks
 * for its whole size each time. */
WARN_UNUSED int segment_reserve(struct segment *s, size_t bytes);

/* Appends records, whose `seq` ascend from last_seq and whose payloads are not empty, and publishes
 * them together. 0 or -errno with nothing published. */
WARN_UNUSED int segment_append(struct segment *s, const struct segment_record *records,
                               size_t count);

/* The mapped header: for the live figures. */
struct segment_header *segment_header(struct segment *s);

/* ---- reader ---- */

struct segment_view;

/* Maps a segment for reading; the descriptor is the view's on success. -ENODATA: not finished yet;
 * -EBADMSG: no segment. */
WARN_UNUSED int segment_view_open(int fd, struct segment_view **ret_view);
/* The file `dir`/`name_hash` of a room. Also -ENOENT. */
WARN_UNUSED int segment_view_open_room(const char *dir, struct slice tenant, struct slice room,
                                       struct segment_view **ret_view);
void segment_view_free(struct segment_view *v);

const struct segment_header *segment_view_header(const struct segment_view *v);
/* The checkpoint, checked against its CRC: 0 or -EBADMSG. Valid until the next segment_view_next.
 */
WARN_UNUSED int segment_view_checkpoint(struct segment_view *v, struct slice *ret_update);

/* The published record at `*offset` (0: the first), which is then moved behind it. 1 and `*ret`, 0
 * if there is none yet, -EBADMSG if it is damaged, other -errno if it cannot be mapped. The payload
 * is valid until the next call. */
WARN_UNUSED int segment_view_next(struct segment_view *v, uint64_t *offset,
                                  struct segment_record *ret);
