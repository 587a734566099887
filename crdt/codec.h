/*
 * codec: the structs and deletes of an update, read from and written to either wire format one at a
 * time. What lies between is the same for both formats, so everything else in this library is
 * written once. Formats: Yjs 13.6 `UpdateDecoder`/`UpdateEncoder`, `structs/`.
 *
 * The reader checks every byte against the format and the limits, and never allocates from a count
 * that it has read: memory grows with the bytes consumed.
 */
#pragma once

#include "lib0.h"

/* Content references: bits 0-4 of the info byte. */
enum crdt_ref {
    CRDT_REF_GC = 0,
    CRDT_REF_DELETED = 1,
    CRDT_REF_JSON = 2,
    CRDT_REF_BINARY = 3,
    CRDT_REF_STRING = 4,
    CRDT_REF_EMBED = 5,
    CRDT_REF_FORMAT = 6,
    CRDT_REF_TYPE = 7,
    CRDT_REF_ANY = 8,
    CRDT_REF_DOC = 9,
    CRDT_REF_SKIP = 10,
};

/* Shared types: typeRef of CRDT_REF_TYPE. */
enum crdt_type_ref {
    CRDT_TYPE_ARRAY = 0,
    CRDT_TYPE_MAP = 1,
    CRDT_TYPE_TEXT = 2,
    CRDT_TYPE_XML_ELEMENT = 3,
    CRDT_TYPE_XML_FRAGMENT = 4,
    CRDT_TYPE_XML_HOOK = 5,
    CRDT_TYPE_XML_TEXT = 6,
};

#define CRDT_INFO_REF          0x1f
#define CRDT_INFO_PARENT_SUB   0x20 /* has a map key, whether or not it is written */
#define CRDT_INFO_RIGHT_ORIGIN 0x40
#define CRDT_INFO_ORIGIN       0x80

struct crdt_id {
    uint64_t client;
    uint64_t clock;
};

/*
 * The content of one struct. `bytes` and what is in it by ref:
 *   JSON    `len` elements, each a varString of JSON or of `undefined` (the v1 form)
 *   BINARY  the bytes
 *   STRING  valid UTF-8 of `len` UTF-16 units
 *   EMBED   one value, as JSON or as `any` (see value_is_any)
 *   FORMAT  the mark's value, as JSON or as `any`; key in `key`
 *   TYPE    nothing; `type_ref`, and `key` for XML elements and hooks (node name)
 *   ANY     `len` values of `any`, one after another
 *   DOC     the options, one `any`; guid in `key`
 *   GC, DELETED, SKIP  nothing
 * Values keep the bytes that they came with; a v1 reader gives JSON and a v2 reader `any`, and the
 * writer of the other format converts.
 */
struct crdt_content {
    struct crdt_slice bytes;
    struct crdt_slice key;
    uint8_t type_ref;
    bool value_is_any;
};

enum crdt_parent {
    CRDT_PARENT_IMPLIED, /* not written: that of the origin, else of the right origin */
    CRDT_PARENT_ROOT,    /* a root type, by parent_name */
    CRDT_PARENT_ITEM,    /* the type in the item parent_id */
};

struct crdt_struct {
    struct crdt_id id;
    uint64_t len;  /* clocks it takes; a zero length occurs in the wild and is kept */
    uint8_t info;  /* as on the wire, flags included */
    bool is_first; /* of a client group, when it was read */
    enum crdt_parent parent;
    struct crdt_id origin;       /* if info & CRDT_INFO_ORIGIN */
    struct crdt_id right_origin; /* if info & CRDT_INFO_RIGHT_ORIGIN */
    struct crdt_id parent_id;
    struct crdt_slice parent_name;
    struct crdt_slice parent_sub; /* data is NULL when the key is not written */
    struct crdt_content content;
};

static inline enum crdt_ref crdt_struct_ref(const struct crdt_struct *s)
{
    return (enum crdt_ref)(s->info & CRDT_INFO_REF);
}

/* Fills in the defaults; `from` may be NULL. */
void crdt_limits_init(struct crdt_limits *limits, const struct crdt_limits *from);

struct crdt_reader;

/* Starts to read an update, which must outlive the reader. -EBADMSG, -E2BIG, -ENOMEM. */
CRDT_WARN_UNUSED int crdt_reader_new(enum crdt_format format, const uint8_t *update, size_t len,
                                     const struct crdt_limits *limits,
                                     struct crdt_reader **ret_reader);
/* Starts to read another update with a reader that rests and the limits it had. After a failure it
 * may only rest or be freed. */
CRDT_WARN_UNUSED int crdt_reader_restart(struct crdt_reader *r, enum crdt_format format,
                                         const uint8_t *update, size_t len);
void crdt_reader_free(struct crdt_reader *r);
/* Frees what a reader that will be restarted holds beside itself; its slices are gone. */
void crdt_reader_rest(struct crdt_reader *r);
size_t crdt_reader_bytes(void); /* that a reader holds while it rests */

/* The next struct: 1 and `*ret_struct`, 0 after the last, or -errno. Slices in it live as long as
 * the reader and the update. Structs of one client group follow each other without a hole; a client
 * may have several groups. */
CRDT_WARN_UNUSED int crdt_reader_struct(struct crdt_reader *r, struct crdt_struct *ret_struct);

/* After the last struct: the next range of the delete set: 1, 0 or -errno. Order and overlap are as
 * the sender left them. */
CRDT_WARN_UNUSED int crdt_reader_delete(struct crdt_reader *r, struct crdt_id *ret_id,
                                        uint64_t *ret_len);

/*
 * Writing: the caller adds client groups in the order in which they shall stand (Yjs: descending by
 * id), each with its structs in clock order, then the delete set, then finishes. Counts are written
 * by the writer. Failures are sticky and come out of crdt_writer_finish().
 */
struct crdt_writer;

/* NULL when out of memory. A writer of format v1 can be used again. */
struct crdt_writer *crdt_writer_new(enum crdt_format format, const struct crdt_limits *limits);
void crdt_writer_free(struct crdt_writer *w);
/* Starts another v1 update with a v1 writer; it keeps its memory. */
void crdt_writer_restart(struct crdt_writer *w);
size_t crdt_writer_bytes(const struct crdt_writer *w); /* that it holds */

/* Announces how many client groups follow, then each group with its struct count and first
 * clock. */
void crdt_writer_clients(struct crdt_writer *w, uint64_t count);
void crdt_writer_client(struct crdt_writer *w, uint64_t client, uint64_t structs, uint64_t clock);

/* The same for who knows but how many structs there are at most: the writer counts them, between
 * these two. */
void crdt_writer_begin(struct crdt_writer *w, uint64_t client, uint64_t max_structs,
                       uint64_t clock);
void crdt_writer_end(struct crdt_writer *w);

/* Makes room, if it can, for so many structs. Their texts lie in `texts`, which is readable as a
 * whole until the writer has finished. */
void crdt_writer_reserve(struct crdt_writer *w, struct crdt_slice texts, size_t structs);

/* Writes `s` from its unit `offset` on (0 <= offset < len, or 0): with an offset the origin becomes
 * the unit before. A cut inside of a surrogate pair gives U+FFFD, as in Yjs. For an implied parent
 * the caller guarantees an origin or a right origin. */
void crdt_writer_struct(struct crdt_writer *w, const struct crdt_struct *s, uint64_t offset);

/* Instead of the three above, for who does not know the counts before: the same, but a client group
 * begins wherever `s` does not follow on the struct before, and the writer counts. */
void crdt_writer_append(struct crdt_writer *w, const struct crdt_struct *s, uint64_t offset);

/* Ranges of a client are ascending, disjoint and not empty. */
void crdt_writer_deletes(struct crdt_writer *w, uint64_t clients);
void crdt_writer_delete_client(struct crdt_writer *w, uint64_t client, uint64_t ranges);
void crdt_writer_delete(struct crdt_writer *w, uint64_t clock, uint64_t len);

/* Appends the update to `out`. -ENOMEM, -E2BIG. */
CRDT_WARN_UNUSED int crdt_writer_finish(struct crdt_writer *w, struct crdt_buf *out);
