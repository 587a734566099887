/*
 * What `concordctl doctor` does to a room that no process runs. Whatever it takes away it keeps in
 * a file beside the segment, under a name that nobody takes for a segment.
 */
#pragma once

#include "ctl/doctor_room.h"

/* Locks the segment, so that no room starts while it is repaired, and marks the room as in
 * quarantine if it is not. `*ret_fd` is the segment, -1 if there is none; `*ret_marked` whether the
 * mark is ours. 0; -EBUSY: a room runs on it; other -errno. */
WARN_UNUSED int repair_begin(const char *rooms_dir, const char *hash, struct store_key key,
                             int *ret_fd, bool *ret_marked);

/* Writes the segment anew without one record, or without the bytes that are damaged at its place,
 * and puts it in the place of the old one; `fd` is the old one, locked. An update that holds
 * nothing takes the number of what was dropped, so that numbers go on as before. What else is
 * damaged goes too; what was never published is not carried over. `seq`: the record's number, or
 * REPAIR_CHECKPOINT. Appends to `out` what was done. -ENOENT: there is no such record; -EUCLEAN:
 * the header is damaged, or the checkpoint and that was not asked for; other -errno. */
WARN_UNUSED int repair_segment(const struct patient *patient, int fd, uint64_t seq,
                               struct buffer *out);
#define REPAIR_CHECKPOINT UINT64_MAX

/* Replaces what is stored by one snapshot of everything but the update `seq` and the others that a
 * replay does not survive; their bytes are kept in the directory `dir`. -ENOENT: there is no such
 * update; -EUCLEAN: the snapshot itself is what kills; -ESTALE: somebody else wrote to the room;
 * -ECHILD: merging what is left kills; or an error of store.h. */
WARN_UNUSED int repair_store(const struct patient *patient, struct doctor_store *store,
                             const char *dir, uint64_t seq, struct buffer *out);

/* Appends everything that is whole and does no harm as one update of format 1. -ECHILD: merging it
 * kills; -EBADMSG, -ENOMEM. */
WARN_UNUSED int repair_export(const struct patient *patient, struct buffer *out);
