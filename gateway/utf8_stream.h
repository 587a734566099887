/* UTF-8 (RFC 3629) checked while it arrives: the first octet that no well-formed text can hold at
 * its place is found without waiting for the rest. Zero-initialise. */
#pragma once

#include "common/slice.h"

struct utf8_stream {
    uint8_t missing; /* continuation octets still to come */
    uint8_t low;     /* bounds of the next one */
    uint8_t high;
};

/* The index of the first octet that cannot be, or bytes.len. After a failure the stream is done. */
size_t utf8_stream_feed(struct utf8_stream *s, struct slice bytes);

/* Does the text end between two characters? */
static inline bool utf8_stream_is_complete(const struct utf8_stream *s)
{
    return s->missing == 0;
}
