/*
 * document: the room's CRDT and the segment that it is kept in, moving together. An edit is applied
 * only if the segment has room for it; what was applied waits in a batch, and document_append()
 * writes the batch to the segment at once. Only then may anybody hear of it.
 *
 * A careful document writes each edit to its segment, unpublished, before it applies it: what kills
 * the room on its arrival is then found behind the published end.
 *
 * No socket and no clock in here: the room calls it from its loop.
 */
#pragma once

#include "common/buffer.h"
#include "crdt/crdt.h"
#include "proto/lens.h"
#include "roomd/journal.h"

/* Bytes of one edit in format 1; a format-2 edit may not become longer than this. */
#define DOCUMENT_EDIT_MAX (64u << 20)

struct document;

/* An edit that was applied. */
struct edit {
    uint64_t seq;
    uint64_t session;    /* the author, 0 if none */
    struct blob *update; /* format 1 */
    /* As document_set_lens() asked. */
    struct blob *change; /* what the lens sees of it; NULL: nothing */
    bool is_unseen;      /* what it sees of it cannot be said: its whole state can */
};

#define DOCUMENT_REASON_BYTES 128

struct document_start {
    int fd; /* of the segment, which may be empty */
    struct slice tenant;
    struct slice room;
    bool is_careful;
};

/* Opens what the segment holds, or an empty document if it holds nothing; takes the descriptor on
 * success; the names must outlive the document. -EBADMSG: the segment is damaged, of another
 * version or holds what cannot be applied: `reason` says which record, and starting again does not
 * help; -ENOMEM and other -errno as they came. */
WARN_UNUSED int document_open(const struct document_start *start, struct document **ret_document,
                              char reason[DOCUMENT_REASON_BYTES]);
void document_free(struct document *d);

bool document_has_segment(const struct document *d);
/* Of its numbers (segment.h); never 0. */
uint64_t document_lineage(const struct document *d);
/* Of the last edit, appended or in the batch. */
uint64_t document_last_seq(const struct document *d);
uint64_t document_stored_seq(const struct document *d);
/* A descriptor of the segment's file, for the caller to close, or -errno. */
WARN_UNUSED int document_dup_segment(const struct document *d);
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
 * above both: so that no sequence of ours is ever taken for stored that is not. -errno (-ENOSPC):
 * to be called again, with what the store then says; nothing is taken for stored until then. */
WARN_UNUSED int document_loaded(struct document *d, uint64_t opened_seq, uint64_t stored_seq);

/* The store has everything up to `seq`. Returns whether document_stored_seq() moved. */
bool document_set_stored(struct document *d, uint64_t seq);

/* ---- edits ---- */

/* Applies an edit of a client. On success `*ret_seq` is its sequence, or that of the last one if it
 * changed nothing. -EBADMSG; -E2BIG: over a limit; -ENOMEM; -ENOSPC: the segment cannot grow. The
 * document is untouched on failure. */
WARN_UNUSED int document_edit(struct document *d, uint64_t session, enum crdt_format format,
                              struct slice update, uint64_t *ret_seq);

/* Has the document all of an update? -EBADMSG, -E2BIG, -ENOMEM and -ENOSPC as document_edit(). */
WARN_UNUSED int document_has(struct document *d, uint64_t session, enum crdt_format format,
                             struct slice update, bool *ret_has);

/* From now on edits say what they changed as this lens sees it; LENS_NONE: as nobody does. */
void document_set_lens(struct document *d, enum lens lens);
/* An operation of a client of the lens, as document_edit(). */
WARN_UNUSED int document_op(struct document *d, uint64_t session, enum lens lens, struct slice op,
                            uint64_t *ret_seq);

/* The batch. */
size_t document_batch(const struct document *d, const struct edit **ret_edits);
size_t document_batch_bytes(const struct document *d);
/* Writes the batch to the segment; it stays readable until document_clear_batch(). 0 or -errno,
 * after which the document holds what the segment does not: it must be rolled back. */
WARN_UNUSED int document_append(struct document *d);
void document_clear_batch(struct document *d);
/* Drops the batch and makes the document anew from what the segment has published. What the store
 * brought may be gone too, so it has to be asked again. 0 or -errno: there is no document any more.
 */
WARN_UNUSED int document_roll_back(struct document *d);

/* The room ends in order, and everything is stored. */
void document_close(struct document *d);

/* ---- replacing the segment; with an empty batch ---- */

/* Is its log so long that the document should be written anew (journal.h)? */
bool document_wants_next(const struct document *d);
/* Writes the document into the next segment. Takes as long as one encoding of the document, in
 * which the room does nothing else: some milliseconds for each 10 MB. Takes `fd` on success.
 * -errno: the segment stays, and nothing has changed. */
WARN_UNUSED int document_begin_next(struct document *d, int fd);
bool document_has_next(const struct document *d);
bool document_was_renamed(const struct document *d);
void document_take_next(struct document *d);
void document_drop_next(struct document *d);

/* ---- reading; with an empty batch ---- */

/* Calls `fn` for every edit after `seq`, in order, with its author; once with the whole document,
 * the last sequence and no author if `seq` is a number of another lineage, or the segment's log
 * does not reach back so far or is long. `update` (format 1) is borrowed. 0 or -errno. */
typedef void (*document_edit_fn)(void *ctx, uint64_t seq, uint64_t session, struct slice update);
WARN_UNUSED int document_since(const struct document *d, uint64_t lineage, uint64_t seq,
                               document_edit_fn fn, void *ctx);
/* Appends what a lens sees. -E2BIG, -ENOMEM. */
WARN_UNUSED int document_view(const struct document *d, enum lens lens, struct crdt_buf *out);
