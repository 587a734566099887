/*
 * journal: the segment of a room, and while it is being replaced the next one beside it. From the
 * moment that the next one exists until it has the name, both get every record and every figure, so
 * that whichever file has the name when the room dies is complete. The document (document.h)
 * decides what goes in; who makes and names files is replacement.c's matter.
 */
#pragma once

#include "common/segment.h"

struct journal;

/* Opens what is in `fd`, as segment_recover() does; takes `fd` on success. */
WARN_UNUSED int journal_open(int fd, segment_visit_fn visit, void *ctx,
                             struct journal **ret_journal, struct segment_contents *ret_contents);
/* Begins a new one in `fd`, as segment_start() does; takes `fd` on success. */
WARN_UNUSED int journal_create(int fd, const struct segment_start *start,
                               struct journal **ret_journal);
void journal_free(struct journal *j);

/* Of the segment that counts: numbers, names, live figures. */
struct segment_header *journal_header(const struct journal *j);
WARN_UNUSED int journal_view(const struct journal *j, struct segment_view **ret_view);
/* A descriptor of its file, for the caller to close, or -errno. */
WARN_UNUSED int journal_dup(const struct journal *j);
void journal_set_stored(struct journal *j, uint64_t seq);
/* The room ends in order, and all of it is stored. */
void journal_close(struct journal *j);

/* ---- records: as the functions of segment.h, for both files ---- */

WARN_UNUSED int journal_reserve(struct journal *j, size_t bytes);
WARN_UNUSED int journal_write(struct journal *j, const struct segment_record *records,
                              size_t count);
void journal_publish(struct journal *j);
WARN_UNUSED int journal_take_back(struct journal *j);

/* ---- the next segment ---- */

/* Is it time for another? The log has grown beyond the checkpoint, so that what a rewrite costs is
 * paid by what was written since the last; or it could not grow, and a shorter file might. */
bool journal_is_long(const struct journal *j);
/* Makes the next one in `fd`, with a checkpoint of what is published now; takes `fd` on success.
 * -errno (-ENOSPC): there is no next one and nothing has changed. */
WARN_UNUSED int journal_begin_next(struct journal *j, int fd, struct slice checkpoint);
bool journal_has_next(const struct journal *j);
/* Has the first lost its name, as when another has it? */
bool journal_was_renamed(const struct journal *j);
/* The next one has the name: readers of the first are sent there. */
void journal_take_next(struct journal *j);
/* It will not have the name. Its space is given back. */
void journal_drop_next(struct journal *j);
