/* ws_compress: frames of the server that are to be sent, as those of compressed messages (RFC 7692,
 * section 6). The result is the same for every client that agreed on it, so it is made once. */
#pragma once

#include "common/blob.h"

struct deflate;

/* Frames with less payload stay as they are: there is little to win. */
#define WS_COMPRESS_MIN 1024u
/* Nor is more than this compressed, as nobody else is served meanwhile. */
#define WS_COMPRESS_MAX (1u << 20)

/* A new blob of the same frames as `parts` hold together, those that are worth it compressed. NULL
 * if none is, if there is too much, or without memory. */
struct blob *ws_compress_frames(struct deflate *deflate, const struct slice *parts, size_t count);
/* The same of a blob, made with its first recipient and kept with it; borrowed from it. The blob
 * itself where ws_compress_frames() gives none. */
struct blob *ws_compress_blob(struct deflate *deflate, struct blob *frames);
