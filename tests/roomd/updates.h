/* Small updates in format 1, as Yjs writes them. */
#pragma once

#include "common/slice.h"

#define CHAR_UPDATE_BYTES 11

/* One character at the start of the root text "t", by a client below 128 that has done nothing. */
static inline struct slice char_update(uint8_t ret_bytes[CHAR_UPDATE_BYTES], uint8_t client, char c)
{
    const uint8_t bytes[CHAR_UPDATE_BYTES] = {1, 1, client, 0, 4, 1, 1, 't', 1, (uint8_t)c, 0};

    memcpy(ret_bytes, bytes, sizeof(bytes));
    return slice_of(ret_bytes, CHAR_UPDATE_BYTES);
}

/* The same as an expression; lives as long as the block. */
#define CHAR_UPDATE(client, c) char_update((uint8_t[CHAR_UPDATE_BYTES]){0}, client, c)
