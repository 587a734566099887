#include "crdt/lib0.h"

#include "bytes.h"

static const struct {
    uint64_t value;
    const char *hex;
} uints[] = {
    {0, "00"},
    {1, "01"},
    {127, "7f"},
    {128, "8001"},
    {300, "ac02"},
    {16383, "ff7f"},
    {16384, "808001"},
    {UINT32_MAX, "ffffffff0f"},
    {(UINT64_C(1) << 49) - 1, "ffffffffffff7f"},
    {UINT64_C(1) << 49, "8080808080808001"},
    {CRDT_MAX_CLIENT, "ffffffffffffff0f"},
};

Test(lib0, reads_what_it_writes_as_uint)
{
    for (size_t i = 0; i < sizeof(uints) / sizeof(uints[0]); i++) {
        struct crdt_buf buf = {0};
        struct lib0_reader r;
        lib0_write_uint(&buf, uints[i].value);
        lib0_reader_init(&r, buf.data, buf.len);
        cr_assert_eq(lib0_read_uint(&r), uints[i].value);
        cr_assert(!r.has_failed && lib0_remaining(&r) == 0);

        /* With more bytes behind it, it is read another way. */
        lib0_write_bytes(&buf, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
        lib0_reader_init(&r, buf.data, buf.len);
        cr_assert_eq(lib0_read_uint(&r), uints[i].value);
        cr_assert(!r.has_failed && lib0_remaining(&r) == 8);
        buf.len -= 8;
        assert_buf(&buf, uints[i].hex, "uint");
    }
}

Test(lib0, takes_numbers_that_are_longer_than_they_need_be)
{
    static const char *const zeros[] = {"8000", "80808080808000", "808080808080808000",
                                        "80808080808080808080808080808000"};
    for (size_t i = 0; i < sizeof(zeros) / sizeof(zeros[0]); i++) {
        struct bytes b = from_hex(zeros[i]);
        struct lib0_reader r;
        lib0_reader_init(&r, b.data, b.len);
        cr_assert_eq(lib0_read_uint(&r), 0);
        cr_assert(!r.has_failed && lib0_remaining(&r) == 0);
    }
}

Test(lib0, refuses_numbers_that_are_too_large_or_cut)
{
    static const char *const bad[] = {
        "",
        "80",
        "ffffff",
        "8080808080808010",
        "ffffffffffffff1f",
        "ffffffffffffffff7f",
        "80808080808080808001",
        "808080808080808080808001",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct bytes b = from_hex(bad[i]);
        struct lib0_reader r;
        lib0_reader_init(&r, b.data, b.len);
        cr_assert_eq(lib0_read_uint(&r), 0);
        cr_assert(r.has_failed, "%s", bad[i]);
    }
}

Test(lib0, keeps_the_sign_of_zero)
{
    static const struct {
        uint64_t value;
        bool is_negative;
        const char *hex;
    } ints[] = {
        {0, false, "00"},     {0, true, "40"},
        {1, true, "41"},      {63, false, "3f"},
        {64, false, "8001"},  {64, true, "c001"},
        {8191, true, "ff7f"}, {CRDT_MAX_CLIENT, true, "ffffffffffffff1f"},
    };
    for (size_t i = 0; i < sizeof(ints) / sizeof(ints[0]); i++) {
        struct crdt_buf buf = {0};
        struct lib0_reader r;
        bool is_negative;
        lib0_write_int(&buf, ints[i].value, ints[i].is_negative);
        lib0_reader_init(&r, buf.data, buf.len);
        cr_assert_eq(lib0_read_int(&r, &is_negative), ints[i].value);
        cr_assert_eq(is_negative, ints[i].is_negative);
        cr_assert(!r.has_failed && lib0_remaining(&r) == 0);
        assert_buf(&buf, ints[i].hex, "int");
    }
}

Test(lib0, fails_for_good)
{
    struct bytes b = from_hex("05 61 62 63");
    struct lib0_reader r;
    lib0_reader_init(&r, b.data, b.len);
    struct crdt_slice s = lib0_read_slice(&r);
    cr_assert(r.has_failed && s.data == NULL && s.len == 0);
    cr_assert_eq(lib0_read_u8(&r), 0);
    cr_assert_null(lib0_read_bytes(&r, 0));
    cr_assert_eq(lib0_remaining(&r), 0);
}

Test(lib0, takes_utf8_as_a_fatal_decoder_does)
{
    static const struct {
        const char *hex;
        bool is_valid;
        uint64_t units;
    } texts[] = {
        {"", true, 0},
        {"61 62", true, 2},
        {"00", true, 1},
        {"c2 80", true, 1},
        {"df bf e0 a0 80 ef bf bf", true, 3},
        {"ed 9f bf ee 80 80", true, 2},
        {"f0 90 80 80 f4 8f bf bf", true, 4},
        {"ef bb bf", true, 1},
        {"61 61 61 61 61 61 61 61 61 f0 9f 98 80 62 62 62 62 62 62 62 62 c3 a9", true, 20},
        {"80", false, 0},
        {"c1 bf", false, 0},
        {"c2", false, 0},
        {"c2 41", false, 0},
        {"e0 9f bf", false, 0},
        {"ed a0 80", false, 0},
        {"ed bf bf", false, 0},
        {"e2 82", false, 0},
        {"f0 8f bf bf", false, 0},
        {"f4 90 80 80", false, 0},
        {"f5 80 80 80", false, 0},
        {"f0 9f 98", false, 0},
        {"ff", false, 0},
        {"61 61 61 61 61 61 61 61 61 ff", false, 0},
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct bytes b = from_hex(texts[i].hex);
        uint64_t units = 99;
        cr_assert_eq(lib0_utf8_is_valid(b.data, b.len), texts[i].is_valid, "%s", texts[i].hex);
        cr_assert_eq(lib0_utf8_measure(b.data, b.len, &units), texts[i].is_valid);
        if (texts[i].is_valid) {
            cr_assert_eq(units, texts[i].units, "%s", texts[i].hex);
            cr_assert_eq(lib0_utf16_len(b.data, b.len), texts[i].units);
        }
    }
}

Test(lib0, finds_units_in_text)
{
    /* 1, 2, 3 and 4 bytes: units 0; 1; 2; 3 and 4; then sixteen of ASCII and once more. */
    static const char text[] = "a\u00e9\u20ac\U0001f600bbbbbbbbbbbbbbbb\U0001f600c";
    static const struct {
        uint64_t unit;
        size_t offset;
        bool is_inside;
    } wants[] = {
        {0, 0, false},  {1, 1, false},   {2, 3, false},   {3, 6, false},
        {4, 6, true},   {5, 10, false},  {12, 17, false}, {21, 26, false},
        {22, 26, true}, {23, 30, false}, {24, 31, false},
    };
    for (size_t i = 0; i < sizeof(wants) / sizeof(wants[0]); i++) {
        bool is_inside;
        size_t offset =
            lib0_utf16_offset((const uint8_t *)text, sizeof(text) - 1, wants[i].unit, &is_inside);
        cr_assert_eq(offset, wants[i].offset, "unit %d", (int)wants[i].unit);
        cr_assert_eq(is_inside, wants[i].is_inside, "unit %d", (int)wants[i].unit);
    }
}
