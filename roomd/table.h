/*
 * Hash tables: uthash, wrapped once. The hash is seeded when the process starts, because clients
 * choose some of the keys (awareness ids, room names).
 */
#pragma once

#include "common/log.h"

#include <stddef.h>
#include <stdint.h>

uint32_t table_hash(const void *key, size_t len);

#define HASH_FUNCTION(key, len, hashv) ((hashv) = table_hash((key), (len)))
#define uthash_fatal(msg)              log_panic("hash table: %s", (msg))
#include <uthash.h>

/* Tables keyed by a uint64_t field. */
#define TABLE_FIND_U64(head, value, out)    HASH_FIND(hh, head, &(value), sizeof(uint64_t), out)
#define TABLE_ADD_U64(head, field, element) HASH_ADD(hh, head, field, sizeof(uint64_t), element)
