/*
 * segment: a room in shared memory. One file per open room:
 *
 *     [header page][checkpoint: the document as one v1 update][log: records since]
 *
 * The room is the only writer. It appends with pwrite (a full file system is an error, not a
 * SIGBUS), into space reserved by fallocate, and then publishes the committed length in the header
 * with a release store. Readers load that length, fence, and never look beyond it; they need no
 * message and never disturb the writer.
 *
 * Readers do not map the file. A room digests hostile documents, and one that was taken over could
 * cut its file short under a map, which kills the reader, or change bytes after they were checked.
 * So they read with pread, into memory of their own, and every check is of what is then used.
 *
 * A file does not grow for ever: the writer makes another beside it, with a checkpoint of now,
 * under the same lineage, which is renamed over the first one. From that checkpoint to the rename
 * both get every record; then the first is marked SEGMENT_SUPERSEDED, and readers open the name
 * again.
 */
#pragma once

#include "common/memory.h"
#include "common/segment_format.h"
#include "common/slice.h"

#include <stdbool.h>

struct segment_record {
    uint64_t seq;     /* of the room, ascending */
    uint64_t session; /* the author's, 0 if none */
    uint32_t kind;    /* enum segment_kind */
    struct slice payload;
};

/* ---- writer ---- */

/* What a file begins with. */
struct segment_start {
    struct slice tenant;
    struct slice room;
    uint64_t file_id; /* 0: a random one, as it should be */
    uint64_t lineage; /* 0: a random one, for the first file of a room */
    /* NULL: this one, as it should be. Of another: what it holds is recovered as if it came from
     * there. */
    const struct boot_id *boot_id;
    uint64_t base_seq;
    struct slice checkpoint;
};

struct segment;

/* Writes a new segment into `fd` (empty or unfinished; taken over on success): header, checkpoint,
 * an empty log. 0 or -errno (-ENOSPC); the file then holds nothing. */
WARN_UNUSED int segment_start(int fd, const struct segment_start *start,
                              struct segment **ret_segment);
/* The same with random numbers. */
WARN_UNUSED int segment_create(int fd, struct slice tenant, struct slice room, uint64_t base_seq,
                               struct slice checkpoint, struct segment **ret_segment);
/* A number for a lineage: random, never 0. */
uint64_t segment_new_lineage(void);

/* What is in a segment, as far as it was read. */
struct segment_contents {
    uint64_t records;      /* that are fine, not counting the checkpoint */
    uint64_t end;          /* file offset behind them: where a bad one is; 0: the header is bad */
    uint64_t last_seq;     /* of the last that is fine */
    bool is_visit_refused; /* the bytes of the next one are as they were written; `visit` refused */
    bool has_torn_tail;    /* segment_recover(): what was never published was cut off at `end` */
    bool is_of_other_boot; /* the same: nothing of it can be taken for stored, or for all there was
                            */
    bool is_cut;           /* the same, of another boot: what followed is damaged and was cut off */
};

/* Is given the checkpoint, as a record of base_seq without an author, and then every record. What
 * it returns below 0 ends the reading. */
typedef int (*segment_visit_fn)(void *ctx, const struct segment_record *record);

/* Opens what an earlier room left in `fd` (taken over on success): reads it all, checks it, and
 * cuts what was never published. `visit` may be NULL, and `ret_contents`, which is also written on
 * failure. -ENODATA: the file is empty or unfinished; -ENOTSUP: it is of another version; -EBADMSG:
 * what was published is damaged; what `visit` returned; other -errno as they came. Nothing is
 * changed by a failure.
 *
 * Segments are never synced. One of another boot may lack any page and any of its last states, also
 * if it looks whole; that is no damage. What is sound at its beginning is taken, and it begins a
 * new lineage, of which nothing is stored: the old one's numbers may have gone further than it
 * knows. If its header or checkpoint is not sound it is -ENODATA. */
WARN_UNUSED int segment_recover(int fd, segment_visit_fn visit, void *ctx,
                                struct segment **ret_segment,
                                struct segment_contents *ret_contents);

void segment_free(struct segment *s);
/* Frees it and empties the file, which has no name or will not get one: its space is given back. */
void segment_discard(struct segment *s);
bool segment_is_nameless(const struct segment *s); /* has the file no name any more? */
/* A descriptor of the same open file, for the caller to close, or -errno. */
WARN_UNUSED int segment_dup(const struct segment *s);

/* Bytes that a record with this payload takes in the file. */
size_t segment_record_bytes(size_t payload_len);
/* Bytes of the log. */
uint64_t segment_log_bytes(const struct segment *s);

/* Makes sure that `bytes` more can be appended: 0, or -ENOSPC and nothing is changed. Asked before
 * an edit is applied, so that what is applied can always be appended. Not cumulative: a batch asks
 * for its whole size each time. */
WARN_UNUSED int segment_reserve(struct segment *s, size_t bytes);

/* Writes records, whose `seq` ascend from last_seq and whose payloads are not empty, behind the
 * published end. They are no part of the segment before segment_publish(); another write replaces
 * them. 0 or -errno with nothing to publish. */
WARN_UNUSED int segment_write(struct segment *s, const struct segment_record *records,
                              size_t count);
/* Publishes what was written last, all at once; nothing if that failed. */
void segment_publish(struct segment *s);
/* Takes back what was written and not published: nobody finds it there. */
WARN_UNUSED int segment_take_back(struct segment *s);
/* Writes and publishes. */
WARN_UNUSED int segment_append(struct segment *s, const struct segment_record *records,
                               size_t count);

/* The mapped header: for the live figures and flags. */
struct segment_header *segment_header(struct segment *s);

/* ---- reader ---- */

struct segment_view;

/* Opens a segment for reading; the descriptor is the view's on success. -ENODATA: not finished yet,
 * or never, in another boot; -ENOTSUP: of another version; -EBADMSG: no segment. */
WARN_UNUSED int segment_view_open(int fd, struct segment_view **ret_view);
/* The file `dir`/`name_hash` of a room. Also -ENOENT. */
WARN_UNUSED int segment_view_open_room(const char *dir, struct slice tenant, struct slice room,
                                       struct segment_view **ret_view);
/* The format version of a file that segment_view_open() refuses with -ENOTSUP, and whether nothing
 * is lost with it: its room was closed in order, with everything stored. 0; -EBADMSG: it is no such
 * file; other -errno. */
struct segment_foreign {
    uint32_t version;
    bool is_done;
};
WARN_UNUSED int segment_read_foreign(int fd, struct segment_foreign *ret);
/* Was the room closed in order, and is everything stored? Of a header of any version. */
bool segment_is_done(const struct segment_header *h);

/* What the writer has written, for itself. */
WARN_UNUSED int segment_view_open_own(const struct segment *s, struct segment_view **ret_view);
void segment_view_free(struct segment_view *v);

/* The header as it was at the last refresh; opening is one, and segment_view_next() makes one when
 * it has come to the end of what it knew. Its lengths are checked. */
const struct segment_header *segment_view_header(const struct segment_view *v);
/* Reads what the header tells now. -EBADMSG: the file was cut short, or tells what cannot be. */
WARN_UNUSED int segment_view_refresh(struct segment_view *v);

/* The payloads that the following give are valid until the next call of one of them. */

/* The checkpoint, checked against its CRC: 0, -EBADMSG or -ENOMEM. */
WARN_UNUSED int segment_view_checkpoint(struct segment_view *v, struct slice *ret_update);
/* The same into memory of the caller, as many bytes as the header's checkpoint_len. */
WARN_UNUSED int segment_view_read_checkpoint(const struct segment_view *v, void *bytes);

/* The published record at `*offset` (0: the first), which is then moved behind it. 1 and `*ret`, 0
 * if there is none yet, -EBADMSG if it is damaged, -ENOMEM and other -errno. */
WARN_UNUSED int segment_view_next(struct segment_view *v, uint64_t *offset,
                                  struct segment_record *ret);

/* Reads everything that is published: 0, -EBADMSG, what `visit` returned, -ENOMEM, other -errno.
 * `visit` may be NULL; `*ret_contents` is written in any case. */
WARN_UNUSED int segment_view_read_all(struct segment_view *v, segment_visit_fn visit, void *ctx,
                                      struct segment_contents *ret_contents);

/* What lies behind the published end, if that is one whole record which follows the last: what a
 * careful room was working on. 1 and `*ret`; 0: there is none; -errno. Only of a room that has
 * ended. */
WARN_UNUSED int segment_view_unpublished(struct segment_view *v, struct segment_record *ret);
