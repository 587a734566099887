/*
 * segment_format: what a segment (segment.h) is in bytes; described in proto/segment.md and pinned
 * by golden files. Little-endian. A change of anything here is a new SEGMENT_VERSION.
 * `magic`, `version`, `last_seq`, `stored_seq`, `flags` and what SEGMENT_CLOSED means stay where
 * they are in every version: they tell whether a file of another version is still needed.
 */
#pragma once

#include "common/boot_id.h"

#include <stdatomic.h>
#include <stdint.h>

#define SEGMENT_HEADER_BYTES 4096u
#define SEGMENT_MAGIC        UINT64_C(0x3147455344434e43) /* "CNCDSEG1" */
#define SEGMENT_VERSION      3u
#define SEGMENT_RECORD_ALIGN 8u
/* Of one record or checkpoint. A reader does not believe in a longer one. */
#define SEGMENT_PAYLOAD_MAX (512u << 20)

enum segment_flag {
    SEGMENT_CLOSED = 1u << 0,     /* the room ended in order; everything in it is stored */
    SEGMENT_SUPERSEDED = 1u << 1, /* a newer file has the name; open it again */
};

/* The first page of the file. What is above `committed` is written once, before `magic`; only the
 * first recovery in another run of the machine writes the whole of it again. */
struct segment_header {
    uint64_t magic; /* written last: a file without it was never finished and holds nothing */
    uint32_t version;
    uint32_t header_bytes;
    struct boot_id boot_id; /* the run of the machine in which the file was written */
    uint64_t file_id;       /* random; seeds the CRC of the checkpoint and of every record */
    uint64_t lineage;  /* random, not 0: of the room's sequence numbers; kept by the next file */
    uint64_t base_seq; /* the checkpoint holds everything up to this sequence */
    uint64_t checkpoint_len; /* bytes, directly after the header page */
    uint32_t checkpoint_crc; /* CRC32C over file_id and the checkpoint */
    uint16_t tenant_len;
    uint16_t room_len;
    char tenant[256];
    char room[256];
    uint32_t reserved;   /* 0 */
    uint32_t header_crc; /* CRC32C over everything from `version` to here */

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
    uint32_t len; /* of the payload, never 0 */
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
