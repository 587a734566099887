/* The arithmetic of segment_format.h, for the writer and the reader of segments, and for the
 * doctor, who reads damaged ones. */
#pragma once

#include "common/segment_format.h"

#include <stdbool.h>
#include <stddef.h>

static inline uint64_t segment_align(uint64_t n)
{
    return (n + SEGMENT_RECORD_ALIGN - 1) & ~(uint64_t)(SEGMENT_RECORD_ALIGN - 1);
}

/* Offset of the first record. */
static inline uint64_t segment_log_start(const struct segment_header *h)
{
    return h->header_bytes + segment_align(h->checkpoint_len);
}

/* Was it written in another run of the machine? 0 or -errno. */
WARN_UNUSED int segment_is_of_other_boot(const struct segment_header *h, bool *ret_is);

/* What the fields of these names hold if nothing is damaged. */
uint32_t segment_header_crc(const struct segment_header *h);
uint32_t segment_checkpoint_crc(uint64_t file_id, const void *checkpoint, size_t len);
uint32_t segment_record_crc(uint64_t file_id, const struct segment_record_header *rh,
                            const void *payload);
