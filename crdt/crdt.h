/*
 * crdt: documents that agree with Yjs 13.6, as a library.
 *
 * A document is a set of structs (insertions by client and clock) and a set of deletions. Updates
 * carry some of both and may be applied in any order, any number of times; all replicas that have
 * seen the same updates hold the same document. Formats and algorithm: Yjs 13.6 (`docs` of yjs,
 * INTERNALS.md), YATA (Nicolaescu et al., GROUP 2016).
 *
 * The library does no I/O, has no globals, never logs and is safe to use from several threads as
 * long as no document is shared. Every byte of an update is hostile: it is decoded and checked
 * completely before a document is touched, so a refused update leaves its document as it was.
 *
 * Functions return 0 or a negative errno:
 *   -EBADMSG  the bytes are not what they claim to be
 *   -E2BIG    well formed, but over a limit of struct crdt_limits
 *   -ENOMEM   out of memory; the document is as it was
 * other values are named where they occur. `ret_*` and output buffers are written on success only
 * (a buffer may have been appended to and cut back).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CRDT_WARN_UNUSED __attribute__((warn_unused_result))

/* A growable byte buffer. Zero-initialise; crdt_buf_done() frees. The functions of this header
 * append to it and leave what it held in place. */
struct crdt_buf {
    uint8_t *data;
    size_t len;
    size_t cap;
    int error; /* sticky: 0, -ENOMEM or -E2BIG; set by the first failed append */
};

void crdt_buf_done(struct crdt_buf *buf);

/* Borrowed bytes. */
struct crdt_slice {
    const uint8_t *data;
    size_t len;
};

/* Wire format of an update. State vectors are the same in both. */
enum crdt_format {
    CRDT_V1 = 1,
    CRDT_V2 = 2,
};

/* Bounds on what one call may cost. A zero field means its default. Clocks and lengths above
 * 2^32 - 1 and client ids above 2^53 - 1 are always refused.
 *
 * A step of integration is an item that an insertion is compared with, because both were made at
 * the same place by replicas that did not know of each other's. Documents that people wrote take
 * less than one a struct, whole; made up ones take their number of structs, each. The default is
 * reached in about a tenth of a second. Structs that waited count with the update that sets them
 * free, whoever sent them: nobody can tell before what they will take, and an update that was taken
 * must not take longer when it is read again. */
struct crdt_limits {
    uint32_t structs;     /* per update, and of those that wait in a document; default
                             CRDT_DEFAULT_STRUCTS */
    uint32_t clients;     /* per update, state vector or delete set; default CRDT_DEFAULT_CLIENTS */
    uint32_t nesting;     /* of `any`, JSON and shared types; default CRDT_DEFAULT_NESTING */
    uint64_t steps;       /* of integration, per update applied; default CRDT_DEFAULT_STEPS */
    size_t output_bytes;  /* of one encoded result; default CRDT_DEFAULT_OUTPUT_BYTES */
    size_t pending_bytes; /* of structs and deletes that wait, per document;
                             default CRDT_DEFAULT_PENDING_BYTES */
};

#define CRDT_DEFAULT_STRUCTS       (16u << 20)
#define CRDT_DEFAULT_CLIENTS       (1u << 20)
#define CRDT_DEFAULT_NESTING       256u
#define CRDT_DEFAULT_STEPS         (UINT64_C(16) << 20)
#define CRDT_DEFAULT_OUTPUT_BYTES  ((size_t)1 << 30)
#define CRDT_DEFAULT_PENDING_BYTES ((size_t)64 << 20)

/* ---- documents ---- */

struct crdt_doc;

/* A new empty document, or NULL when out of memory. `limits` may be NULL; it is copied. */
struct crdt_doc *crdt_doc_new(const struct crdt_limits *limits);
void crdt_doc_free(struct crdt_doc *doc);
/* From the next call on, as in crdt_doc_new(); what the document holds already is not measured. */
void crdt_doc_set_limits(struct crdt_doc *doc, const struct crdt_limits *limits);

/* What an update did. */
struct crdt_applied {
    bool has_changed; /* the document, or what is pending in it, is not as it was */
    bool has_pending; /* after the call, structs or deletes wait for what was not yet seen */
    uint64_t steps;   /* of integration that it took, see struct crdt_limits */
};

/* Applies an update. `ret_applied` may be NULL. Bytes after the delete set are ignored, as Yjs
 * does. */
CRDT_WARN_UNUSED int crdt_doc_apply(struct crdt_doc *doc, enum crdt_format format,
                                    const uint8_t *update, size_t len,
                                    struct crdt_applied *ret_applied);

/* Does the document, with what is pending in it, have all of an update, so that crdt_doc_apply()
 * would change nothing? The document stays as it is. Takes the time and, until it returns, the
 * memory of decoding the update. */
CRDT_WARN_UNUSED int crdt_doc_has(struct crdt_doc *doc, enum crdt_format format,
                                  const uint8_t *update, size_t len, bool *ret_has);

/* Appends the state vector (the next clock of every client known). */
CRDT_WARN_UNUSED int crdt_doc_state_vector(const struct crdt_doc *doc, struct crdt_buf *out);

/* Appends the update that a replica with the state vector `sv` lacks: structs from it on, the whole
 * delete set, and what is pending. `sv_len` 0 means everything. */
CRDT_WARN_UNUSED int crdt_doc_encode(const struct crdt_doc *doc, enum crdt_format format,
                                     const uint8_t *sv, size_t sv_len, struct crdt_buf *out);

bool crdt_doc_has_pending(const struct crdt_doc *doc);

/* Live figures, for operators. */
struct crdt_stats {
    uint64_t structs;       /* in the document */
    uint64_t pending_bytes; /* of encoded structs and deletes that wait */
    uint64_t memory_bytes;  /* held by the document */
    uint32_t clients;
};

void crdt_doc_stats(const struct crdt_doc *doc, struct crdt_stats *ret_stats);

/* ---- read-out ---- */

/* How a root is read: roots have no type on the wire, the reader chooses. */
enum crdt_kind {
    CRDT_KIND_TEXT,  /* the plain text, embeds and formats left out: appended as raw UTF-8 */
    CRDT_KIND_DELTA, /* text with formats and embeds as a Quill delta: JSON array of ops */
    CRDT_KIND_MAP,   /* JSON object */
    CRDT_KIND_ARRAY, /* JSON array */
    CRDT_KIND_XML,   /* an XML fragment as Yjs prints it: appended as raw UTF-8 */
};

/* Appends the root `name` (UTF-8) as `kind`; an unknown root reads as empty. Nested types appear as
 * Yjs's toJSON() gives them; object keys in the order of Yjs. */
CRDT_WARN_UNUSED int crdt_doc_read(const struct crdt_doc *doc, enum crdt_kind kind,
                                   const char *name, size_t name_len, struct crdt_buf *out);

/* A root that the document knows. Its kind is a guess, by what a reader sees in it: elements make
 * XML, characters a text (with formats or embeds a delta), other values an array, and keys without
 * any of these a map. */
struct crdt_root {
    struct crdt_slice name; /* UTF-8; borrowed until the document changes */
    enum crdt_kind kind;
    uint64_t length; /* of its list: UTF-16 units and elements */
    uint64_t keys;   /* that have a value */
};

typedef void (*crdt_root_fn)(void *ctx, const struct crdt_root *root);

/* Calls `fn` for every root, in the order in which they became known. */
void crdt_doc_roots(const struct crdt_doc *doc, crdt_root_fn fn, void *ctx);

/* ---- edits made by the server ---- */

/*
 * An edit is what the call of Yjs that is named with it does in a transaction of its own, on a
 * document that was loaded from updates, as the client id `client`, which no other replica uses. It
 * is applied and appended to `out` as one v1 update; `out` may be NULL. What changes nothing is an
 * update with nothing in it. Positions and lengths count UTF-16 units and elements; one inside of a
 * surrogate pair, which Yjs would cut, moves to the start of the pair.
 *
 *   -ENOENT  the path leads to no type
 *   -ERANGE  outside of the text or array
 *   -EINVAL  the type is of another kind; no such client id; not UTF-8; not JSON
 *   -E2BIG   as ever; also when the client has no clocks left
 */

/* The way from a type to one inside of it. */
struct crdt_step {
    struct crdt_slice key; /* of a map, UTF-8; data NULL: the element at `index` */
    uint64_t index;
};

/* A shared type, by the root that it is in. A root that nobody has written to is there and empty;
 * roots are of any kind. Borrowed. */
struct crdt_path {
    struct crdt_slice root; /* UTF-8 */
    const struct crdt_step *steps;
    size_t step_count;
};

static inline struct crdt_path crdt_root(const char *name, size_t len)
{
    return (struct crdt_path){.root = {(const uint8_t *)name, len}};
}

/* Y.Text.insert(). `attributes` is a JSON object, for the marks that the text shall have and no
 * others; NULL: those of the text before it. */
CRDT_WARN_UNUSED int crdt_text_insert(struct crdt_doc *doc, uint64_t client, struct crdt_path path,
                                      uint64_t index, const char *text, size_t text_len,
                                      const struct crdt_slice *attributes, struct crdt_buf *out);
/* Y.Text.delete(), with the marks that are of no use any more. Embeds are units like others. */
CRDT_WARN_UNUSED int crdt_text_delete(struct crdt_doc *doc, struct crdt_path path, uint64_t index,
                                      uint64_t len, struct crdt_buf *out);
/* Y.Text.format(). `attributes` is a JSON object; null takes a mark away. */
CRDT_WARN_UNUSED int crdt_text_format(struct crdt_doc *doc, uint64_t client, struct crdt_path path,
                                      uint64_t index, uint64_t len, struct crdt_slice attributes,
                                      struct crdt_buf *out);
/*
 * Makes a text read as `text` (CRDT_KIND_TEXT) by the least edit: the fewest code points deleted
 * and inserted, if 4,096 are enough (text_diff.h has the bounds and what is done beyond them). From
 * the start to the end, what differs is Y.Text.delete() and then Y.Text.insert() at the same place.
 * Marks stay with the text that stays.
 * Embeds always stay: they are no part of what the caller has seen. What replaces text around an
 * embed comes in front of it, and an insertion right behind the text that it follows.
 */
CRDT_WARN_UNUSED int crdt_text_become(struct crdt_doc *doc, uint64_t client, struct crdt_path path,
                                      const char *text, size_t text_len, struct crdt_buf *out);

/* Y.Map.set(). `json` is any JSON value. */
CRDT_WARN_UNUSED int crdt_map_set(struct crdt_doc *doc, uint64_t client, struct crdt_path path,
                                  struct crdt_slice key, struct crdt_slice json,
                                  struct crdt_buf *out);
/* Y.Map.delete(). */
CRDT_WARN_UNUSED int crdt_map_delete(struct crdt_doc *doc, struct crdt_path path,
                                     struct crdt_slice key, struct crdt_buf *out);

/* Y.Array.insert(). `json` is a JSON array of the values. */
CRDT_WARN_UNUSED int crdt_array_insert(struct crdt_doc *doc, uint64_t client, struct crdt_path path,
                                       uint64_t index, struct crdt_slice json,
                                       struct crdt_buf *out);
/* Y.Array.push(): behind all that ever was in the array, where an insertion at the last index
 * comes right behind the last element that is still there. */
CRDT_WARN_UNUSED int crdt_array_push(struct crdt_doc *doc, uint64_t client, struct crdt_path path,
                                     struct crdt_slice json, struct crdt_buf *out);
/* Y.Array.delete(). */
CRDT_WARN_UNUSED int crdt_array_delete(struct crdt_doc *doc, struct crdt_path path, uint64_t index,
                                       uint64_t len, struct crdt_buf *out);

/* ---- updates without a document ---- */

/* Decodes everything and checks it against the limits (NULL: the defaults). */
CRDT_WARN_UNUSED int crdt_update_validate(enum crdt_format format, const uint8_t *update,
                                          size_t len, const struct crdt_limits *limits);

/* Appends one update that stands for all `count` updates, with Skips where clocks are missing. */
CRDT_WARN_UNUSED int crdt_update_merge(enum crdt_format format, const struct crdt_slice *updates,
                                       size_t count, const struct crdt_limits *limits,
                                       struct crdt_buf *out);

/* Appends what of `update` lies beyond the state vector; the delete set stays whole. */
CRDT_WARN_UNUSED int crdt_update_diff(enum crdt_format format, struct crdt_slice update,
                                      struct crdt_slice sv, const struct crdt_limits *limits,
                                      struct crdt_buf *out);

/* Appends the state vector of an update: clients that start at clock 0, up to their first gap. */
CRDT_WARN_UNUSED int crdt_update_state_vector(enum crdt_format format, struct crdt_slice update,
                                              const struct crdt_limits *limits,
                                              struct crdt_buf *out);

/* Appends the same update in the other format. */
CRDT_WARN_UNUSED int crdt_update_convert(enum crdt_format from, struct crdt_slice update,
                                         enum crdt_format to, const struct crdt_limits *limits,
                                         struct crdt_buf *out);

/* ---- snapshots ---- */

/* A version of a document: what was inserted by then (a state vector) and what of it was deleted.
 * It has no content of its own. Formats: Yjs `Snapshot.js`. */
struct crdt_snapshot;

/* The version that the document is in, pending structs and deletes left out. */
CRDT_WARN_UNUSED int crdt_doc_snapshot(const struct crdt_doc *doc,
                                       struct crdt_snapshot **ret_snapshot);

/* Bytes after the state vector are ignored, as Yjs does. `limits` may be NULL. */
CRDT_WARN_UNUSED int crdt_snapshot_decode(enum crdt_format format, struct crdt_slice bytes,
                                          const struct crdt_limits *limits,
                                          struct crdt_snapshot **ret_snapshot);
CRDT_WARN_UNUSED int crdt_snapshot_encode(const struct crdt_snapshot *snapshot,
                                          enum crdt_format format, struct crdt_buf *out);
void crdt_snapshot_free(struct crdt_snapshot *snapshot);

/* Appends what makes, applied to an empty document, the version of the snapshot: what Yjs's
 * createDocFromSnapshot() applies. `update` must hold everything from clock 0 on, each client in
 * one place; best is the merge of all updates that the document has ever seen, which still has what
 * was deleted later.
 *   -ERANGE  the snapshot knows clocks that the update has not
 *   -ESTALE  content that was visible in the version is no longer in the update: it was deleted
 *            later, and collected */
CRDT_WARN_UNUSED int crdt_update_at_snapshot(enum crdt_format format, struct crdt_slice update,
                                             const struct crdt_snapshot *snapshot,
                                             const struct crdt_limits *limits,
                                             struct crdt_buf *out);

/* The same from a document. A document collects what is deleted at once, so that only versions of
 * which nothing was deleted since can be had from it: -ESTALE for the others. */
CRDT_WARN_UNUSED int crdt_doc_at_snapshot(const struct crdt_doc *doc, enum crdt_format format,
                                          const struct crdt_snapshot *snapshot,
                                          struct crdt_buf *out);

/* ---- positions that move with the content ---- */

enum crdt_anchor {
    CRDT_ANCHOR_ITEM = 0, /* at the unit `id` */
    CRDT_ANCHOR_ROOT = 1, /* at the end of the root `root`; at its start if `assoc` is negative */
    CRDT_ANCHOR_TYPE = 2, /* the same of the type in the item `id` */
};

/* Yjs's RelativePosition: in front of its anchor, or behind it if `assoc` is negative. */
struct crdt_relative_position {
    enum crdt_anchor anchor;
    uint64_t client; /* of the id */
    uint64_t clock;
    struct crdt_slice root; /* UTF-8; borrowed */
    int64_t assoc;
};

/* An index in a type, which is a root or the one in the item client:clock. */
struct crdt_absolute_position {
    bool is_root;
    struct crdt_slice root; /* borrowed from the document, or from the relative position */
    uint64_t client;
    uint64_t clock;
    uint64_t index; /* UTF-16 units and elements */
};

/* -EBADMSG. Bytes behind the position are ignored, as Yjs does. `ret_position` borrows `bytes`. */
CRDT_WARN_UNUSED int crdt_relative_position_decode(struct crdt_slice bytes,
                                                   struct crdt_relative_position *ret_position);
/* -EINVAL: it is none. */
CRDT_WARN_UNUSED int crdt_relative_position_encode(const struct crdt_relative_position *position,
                                                   struct crdt_buf *out);

/* Yjs's createRelativePositionFromTypeIndex() for a root text or list. An index beyond the end is
 * the end. `ret_position` borrows `name`. */
void crdt_doc_position_at(const struct crdt_doc *doc, const char *name, size_t name_len,
                          uint64_t index, int64_t assoc,
                          struct crdt_relative_position *ret_position);

/* Yjs's createAbsolutePositionFromRelativePosition(). -ENOENT where that gives null: the anchor is
 * not yet known, or was collected. The result is valid until the document changes. */
CRDT_WARN_UNUSED int crdt_doc_position_resolve(const struct crdt_doc *doc,
                                               const struct crdt_relative_position *position,
                                               struct crdt_absolute_position *ret_position);
