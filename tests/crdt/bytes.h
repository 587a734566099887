/* bytes: hex in the tests of the engine, and results compared with it. */
#pragma once

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "crdt/lib0.h"

#define MAX_BYTES 4096

struct bytes {
    uint8_t data[MAX_BYTES];
    size_t len;
};

static inline int hex_digit(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

/* Lower-case hex; spaces between bytes are for the reader. */
static inline struct bytes from_hex(const char *hex)
{
    struct bytes b = {.len = 0};
    while (*hex) {
        if (*hex == ' ') {
            hex++;
            continue;
        }
        b.data[b.len++] = (uint8_t)(hex_digit(hex[0]) << 4 | hex_digit(hex[1]));
        hex += 2;
    }
    return b;
}

static inline struct crdt_slice slice_of(const struct bytes *b)
{
    return (struct crdt_slice){b->data, b->len};
}

static inline void assert_bytes(const uint8_t *data, size_t len, const char *hex, const char *what)
{
    struct bytes want = from_hex(hex);
    char got[2 * 200 + 1] = "";
    for (size_t i = 0; i < len && i < 200; i++)
        snprintf(got + 2 * i, 3, "%02x", data[i]);
    cr_assert(len == want.len && (len == 0 || memcmp(data, want.data, len) == 0),
              "%s: %s instead of %s", what, got, hex);
}

/* Compares and frees. */
static inline void assert_buf(struct crdt_buf *buf, const char *hex, const char *what)
{
    cr_assert_eq(buf->error, 0);
    assert_bytes(buf->data, buf->len, hex, what);
    crdt_buf_done(buf);
}

static inline void assert_text(struct crdt_buf *buf, const char *text)
{
    cr_assert_eq(buf->error, 0);
    cr_assert(buf->len == strlen(text) && (buf->len == 0 || memcmp(buf->data, text, buf->len) == 0),
              "%.*s instead of %s", (int)buf->len, (const char *)buf->data, text);
    crdt_buf_done(buf);
}
