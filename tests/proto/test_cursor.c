#include "proto/cursor.h"

#include <criterion/criterion.h>
#include <msgpack.h>

static struct slice packed(msgpack_sbuffer *b)
{
    return slice_of(b->data, b->size);
}

/* One of each kind that msgpack has, nested, packed by msgpack-c. */
static void pack_everything(msgpack_packer *p)
{
    static const char text[70000] = "text";
    static const size_t lens[] = {0, 31, 32, 255, 256, 65535, 65536};

    msgpack_pack_array(p, 7 + 3 * 7 + 2);
    msgpack_pack_nil(p);
    msgpack_pack_true(p);
    msgpack_pack_double(p, 1.5);
    msgpack_pack_float(p, 1.5f);
    msgpack_pack_int64(p, -5000000000);
    msgpack_pack_int(p, -3);
    msgpack_pack_uint64(p, UINT64_MAX);
    for (size_t i = 0; i < 7; i++) {
        msgpack_pack_str(p, lens[i]);
        msgpack_pack_str_body(p, text, lens[i]);
        msgpack_pack_bin(p, lens[i]);
        msgpack_pack_bin_body(p, text, lens[i]);
        msgpack_pack_ext(p, lens[i], 3);
        msgpack_pack_ext_body(p, text, lens[i]);
    }
    msgpack_pack_map(p, 2);
    for (int i = 0; i < 2; i++) {
        msgpack_pack_int(p, i);
        msgpack_pack_array(p, 20);
        for (int k = 0; k < 20; k++)
            msgpack_pack_ext(p, 1, 0), msgpack_pack_ext_body(p, text, 1);
    }
    msgpack_pack_false(p);
}

Test(cursor, reads_numbers_as_msgpack_c_writes_them)
{
    static const uint64_t values[] = {0,     1,     127,        128,        255,       256,
                                      65535, 65536, UINT32_MAX, 1ull << 32, UINT64_MAX};
    struct cursor c;

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        msgpack_sbuffer b;
        msgpack_packer p;
        msgpack_sbuffer_init(&b);
        msgpack_packer_init(&p, &b, msgpack_sbuffer_write);
        msgpack_pack_uint64(&p, values[i]);
        if (values[i] <= INT64_MAX)
            msgpack_pack_fix_int64(&p, (int64_t)values[i]);
        cursor_init(&c, packed(&b));
        cr_expect_eq(cursor_uint(&c, UINT64_MAX), values[i]);
        if (values[i] <= INT64_MAX)
            cr_expect_eq(cursor_uint(&c, UINT64_MAX), values[i]);
        cr_expect(cursor_is_done(&c));
        if (values[i] > 0) {
            cursor_init(&c, packed(&b));
            (void)cursor_uint(&c, values[i] - 1);
            cr_expect(c.has_failed, "over the limit");
        }
        msgpack_sbuffer_destroy(&b);
    }
    cursor_init(&c, slice_of("\xff", 1));
    (void)cursor_uint(&c, UINT64_MAX);
    cr_expect(c.has_failed, "a negative number");
}

Test(cursor, skips_everything_that_msgpack_c_writes)
{
    msgpack_sbuffer b;
    msgpack_packer p;
    struct cursor c;

    msgpack_sbuffer_init(&b);
    msgpack_packer_init(&p, &b, msgpack_sbuffer_write);
    pack_everything(&p);
    cursor_init(&c, packed(&b));
    cursor_skip(&c);
    cr_expect(cursor_is_done(&c));
    /* Every prefix fails; each is copied, so that reading beyond it is found. */
    for (size_t len = 0; len < b.size; len += len < 2000 ? 1 : 997) {
        char *copy = malloc(len ? len : 1);
        memcpy(copy, b.data, len);
        cursor_init(&c, slice_of(copy, len));
        cursor_skip(&c);
        cr_expect(c.has_failed, "prefix of %zu bytes", len);
        free(copy);
    }
    msgpack_sbuffer_destroy(&b);
}

Test(cursor, lengths_are_not_believed)
{
    static const struct {
        const char *bytes;
        size_t len;
    } rows[] = {
        {"\xc6\xff\xff\xff\xff", 5}, /* bin of 4 GiB */
        {"\xdb\x7f\xff\xff\xff", 5}, /* str of 2 GiB */
        {"\xdd\xff\xff\xff\xff", 5}, /* array of 2^32-1 */
        {"\xdf\xff\xff\xff\xff", 5}, /* map of 2^32-1 */
        {"\xc9\xff\xff\xff\xff\x01", 6}, {"\xc1", 1}, {"\x91\x91\x91", 3}, {"", 0},
    };
    struct cursor c;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        cursor_init(&c, slice_of(rows[i].bytes, rows[i].len));
        cursor_skip(&c);
        cr_expect(c.has_failed, "row %zu", i);
        cursor_init(&c, slice_of(rows[i].bytes, rows[i].len));
        cr_expect_eq(cursor_bytes(&c, SIZE_MAX).len, 0);
        cr_expect(c.has_failed, "row %zu", i);
    }
}

Test(cursor, nesting_is_bounded)
{
    uint8_t deep[40];
    struct cursor c;

    memset(deep, 0x91, sizeof(deep));
    deep[30] = 0xc0;
    cursor_init(&c, slice_of(deep, 31));
    cursor_skip(&c);
    cr_expect(cursor_is_done(&c));
    memset(deep, 0x91, sizeof(deep));
    deep[39] = 0xc0;
    cursor_init(&c, slice_of(deep, 40));
    cursor_skip(&c);
    cr_expect(c.has_failed);
}

Test(cursor, failure_sticks)
{
    struct cursor c;

    cursor_init(&c, slice_of("\xc0\x01", 2));
    (void)cursor_array(&c);
    cr_expect_eq(cursor_uint(&c, 10), 0);
    cr_expect(!cursor_bool(&c));
    cr_expect(!cursor_is_done(&c));
}
