/*
 * document: the room's CRDT and the segment that it is kept in, moving together. An edit is applied
 * only if the segment has room for it; what was applied waits in a batch, and document_append()
 * writes the batch to the segment at once. Only then may anybody hear of it.
 *
 * No socket and no clock in here: the room calls it from its loop.
 */
#pragma once

#include "common/buffer.h"
#include "common/segment.h"
#include "crdt/crdt.h"

/* Bytes of one edit in format 1; a format-2 edit may not become longer than this. */
#define DOCUMENT_EDIT_MAX (64u << 20)

struct document;

/* An edit that was applied. */
struct edit {
    uint64_t seq;
    uint64_t session;    /* the author, 0 if none */
    struct blob *update; /* format 1 */
};

/* Opens what the segment in `fd` holds, or an empty document if it holds nothing; takes `fd` on
 * success; the names must outlive the document. -EBADMSG: the segment is damaged or holds what does
 * not decode; -ENOSPC, -ENOMEM and other -errno as they came. */
WARN_UNUSED int document_open(int fd, struct slice tenant, struct slice room,
                              struct document **ret_document);
void document_free(struct document *d);

bool document_has_segment(const struct document *d);
/* Of the last edit, appended or in the batch. */
uint64_t document_last_seq(const struct document *d);
uint64_t document_stored_seq(const struct document *d);
/* NULL before document_loaded(). */
struct segment_header *document_header(struct document *d);
/* Of the last time that they were taken. Edits take them again now and then, as the bound on memory
 * depends on them; taking them costs a pass over the clients of the document. */
const struct crdt_stats *document_stats(const struct document *d);
bool document_has_new_stats(const struct document *d);
void document_take_stats(struct document *d);

/* ---- loading from the store ---- */

/* Applies a part of what the store holds (format 1). -EBADMSG, -E2BIG, -ENOMEM. */
WARN_UNUSED int document_merge_part(struct document *d, struct slice update);

/* All parts came; the store is at `stored_seq`. Without a segment one is created from here. If the
 * parts brought what the segment lacked, or the store is ahead of `opened_seq`, our last sequence
 * when it was asked (it followed another lineage), the whole document joins the batch at a sequence
 * above both: so that no sequence of ours is ever taken for stored that is not. -errno (-ENOSPC).
 */
WARN_UNUSED int document_loaded(struct document *d, uint64_t opened_seq, uint64_t stored_seq);

/* The store has everything up to `seq`. Returns whether document_stored_seq() moved. */
bool document_set_stored(struct document *d, uint64_t seq);

/* ---- edits ---- */

/* Applies an edit of a client. On success `*ret_seq` is its sequence, or that of the last one if it
 * changed nothing. -EBADMSG; -E2BIG: over a limit; -ENOMEM; -ENOSPC: the segment cannot grow. The
 * document is untouched on failure. */
WARN_UNUSED int document_edit(struct document *d, uint64_t session, enum crdt_format format,
                              struct slice update, uint64_t *ret_seq);

/* The batch. */
size_t document_batch(const struct document *d, const struct edit **ret_edits);
size_t document_batch_bytes(const struct document *d);
/* Writes the batch to the segment; it stays readable until document_clear_batch(). 0 or -errno,
 * after which the document holds what the segment does not. */
WARN_UNUSED int document_append(struct document *d);
void document_clear_batch(struct document *d);

/* ---- reading; with an empty batch ---- */

/* What a replica with the state vector `sv` lacks, and the document's own state vector. */
WARN_UNUSED int document_sync(const struct document *d, enum crdt_format format, struct slice sv,
                              struct crdt_buf *update, struct crdt_buf *state_vector);

/* Calls `fn` for every edit after `seq`, in order, with its author; once with the whole document,
 * the last sequence and no author if the segment's log does not reach back so far or is long.
 * `update` (format 1) is borrowed. 0 or -errno. */
typedef void (*document_edit_fn)(void *ctx, uint64_t seq, uint64_t session, struct slice update);
WARN_UNUSED int document_since(const struct document *d, uint64_t seq, document_edit_fn fn,
                               void *ctx);
