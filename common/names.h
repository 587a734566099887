/* Names of rooms and tenants, and the file names made from them. */
#pragma once

#include "common/memory.h"
#include "common/slice.h"

#define NAME_MAX_BYTES 255
#define NAME_HASH_HEX  32 /* characters of name_hash() */

/* 1 to 255 bytes of valid UTF-8 without NUL. */
bool name_is_valid(struct slice name);

/* Hex of the first 128 bits of SHA-256 over tenant, NUL, room: a file name that no client chooses.
 * Writes NAME_HASH_HEX characters and a NUL. */
void name_hash(struct slice tenant, struct slice room, char ret_hex[NAME_HASH_HEX + 1]);

/* Is it well-formed UTF-8 (RFC 3629)? */
bool utf8_is_valid(struct slice bytes);

/* Does well-formed UTF-8 hold a control character (C0, DEL, C1)? */
bool utf8_has_control(struct slice text);
