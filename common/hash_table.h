/*
 * Hash tables: uthash, wrapped once. The hash is SipHash under a key of this process, because peers
 * choose some of the keys (room names, awareness ids).
 */
#pragma once

#include "common/log.h"
#include "common/siphash.h"

#define HASH_FUNCTION(key, len, hashv)                                                             \
    ((hashv) = (unsigned)siphash(siphash_process_key(), slice_of((key), (len))))
#define uthash_fatal(msg) log_panic("hash table: %s", (msg))
#include <uthash.h>

/* Tables keyed by a uint64_t field. */
#define TABLE_FIND_U64(head, value, out)    HASH_FIND(hh, head, &(value), sizeof(uint64_t), out)
#define TABLE_ADD_U64(head, field, element) HASH_ADD(hh, head, field, sizeof(uint64_t), element)
