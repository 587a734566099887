#include "crdt/any.h"

#include <errno.h>
#include <math.h>

#include "bytes.h"

#define NESTING 8

static int skip(const char *hex)
{
    struct bytes b = from_hex(hex);
    struct lib0_reader r;
    lib0_reader_init(&r, b.data, b.len);
    int rc = crdt_any_skip(&r, NESTING);
    cr_assert(rc < 0 || lib0_remaining(&r) == 0, "%s: bytes left", hex);
    return rc;
}

static const struct {
    const char *hex;
    const char *json;
} values[] = {
    {"7f", ""},
    {"7e", "null"},
    {"79", "false"},
    {"78", "true"},
    {"7d07", "7"},
    {"7d40", "0"},
    {"7d41", "-1"},
    {"7dbfffffff0f", "2147483647"},
    {"7c3fc00000", "1.5"},
    {"7c7f800000", "null"},
    {"7b3fb999999999999a", "0.1"},
    {"7b444b1ae4d6e2ef50", "1e+21"},
    {"7b7ff8000000000000", "null"},
    {"7aab54a98ceb1f0ad2", "-6101065172474983726"},
    {"7703c3a922", "\"\u00e9\\\"\""},
    {"7402ff00", "{\"0\":255,\"1\":0}"},
    {"7400", "{}"},
    {"7503 7d01 7f 7500", "[1,null,[]]"},
    {"7602 0162 7d01 0161 7f", "{\"b\":1}"},
    {"7604 0162 7d01 0139 7d02 0231307d03 0162 7d04", "{\"9\":2,\"10\":3,\"b\":4}"},
    {"7602 095f5f70726f746f5f5f 7600 0161 7e", "{\"a\":null}"},
};

Test(any, is_skipped_and_printed)
{
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct bytes b = from_hex(values[i].hex);
        struct crdt_buf out = {0};
        struct lib0_reader r;
        cr_assert_eq(skip(values[i].hex), 0, "%s", values[i].hex);
        lib0_reader_init(&r, b.data, b.len);
        cr_assert_eq(crdt_any_to_json(&r, NESTING, &out), 0);
        cr_assert_eq(lib0_remaining(&r), 0);
        if (*values[i].json)
            assert_text(&out, values[i].json);
        else
            cr_assert_eq(out.len, 0);
    }
}

Test(any, is_refused_when_malformed)
{
    static const char *const bad[] = {
        "",
        "73",
        "80",
        "7d",
        "7d80",
        "7c0000",
        "7b00000000000000",
        "7a00",
        "770261",
        "7701ff",
        "7501",
        "75",
        "7601",
        "76010161",
        "7403",
        "7602 01 61",
        "7601 01ff 7e",
        "75ffffffffffffff0f 7e",
        "7d ffffffffffffff7f",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct bytes b = from_hex(bad[i]);
        struct crdt_buf out = {0};
        struct lib0_reader r;
        cr_assert_eq(skip(bad[i]), -EBADMSG, "%s", bad[i]);
        lib0_reader_init(&r, b.data, b.len);
        cr_assert_eq(crdt_any_to_json(&r, NESTING, &out), -EBADMSG, "%s", bad[i]);
        crdt_buf_done(&out);
    }
}

Test(any, nests_no_deeper_than_it_may)
{
    for (size_t depth = 0; depth < 2000; depth += depth < 20 ? 1 : 97) {
        uint8_t text[4001];
        struct crdt_buf any = {0}, json = {0};
        struct lib0_reader r;
        for (size_t i = 0; i < depth; i++) {
            lib0_write_bytes(&any, "\x75\x01", 2);
            text[i] = '[';
            text[2 * depth - i] = ']';
        }
        lib0_write_u8(&any, CRDT_ANY_NULL);
        text[depth] = '1';

        int want = depth > NESTING ? -E2BIG : 0;
        lib0_reader_init(&r, any.data, any.len);
        cr_assert_eq(crdt_any_skip(&r, NESTING), want);
        lib0_reader_init(&r, any.data, any.len);
        cr_assert_eq(crdt_any_to_json(&r, NESTING, &json), want);
        cr_assert_eq(crdt_json_validate(text, 2 * depth + 1, NESTING), want);

        want = depth > CRDT_ANY_MAX_NESTING ? -E2BIG : 0;
        lib0_reader_init(&r, any.data, any.len);
        cr_assert_eq(crdt_any_skip(&r, UINT32_MAX), want);
        cr_assert_eq(crdt_json_to_any(text, 2 * depth + 1, UINT32_MAX, &json), want);
        crdt_buf_done(&any);
        crdt_buf_done(&json);
    }
}

Test(any, is_read_from_json)
{
    static const struct {
        const char *json;
        const char *hex;
    } texts[] = {
        {" null ", "7e"},
        {"true", "78"},
        {"false", "79"},
        {"-0", "7d40"},
        {"1.0", "7d01"},
        {"1e3", "7da80f"},
        {"2147483647", "7dbfffffff0f"},
        {"-2147483648", "7ccf000000"},
        {"2147483649", "7b41e0000000200000"},
        {"0.5", "7c3f000000"},
        {"0.1", "7b3fb999999999999a"},
        {"1e999", "7c7f800000"},
        {"\"a\\u00e9\\n\"", "770461c3a90a"},
        {"\"\\ud83d\\ude00\"", "7704f09f9880"},
        {"\"\\ud83d\"", "7703efbfbd"},
        {"\"\\ude00\\ud83d\"", "7706efbfbdefbfbd"},
        {"[ ]", "7500"},
        {"[1,[2]]", "75027d0175017d02"},
        {"{ }", "7600"},
        {"{\"b\":1,\"2\":{},\"1\":[],\"b\":2}", "760301317500013276000162 7d02"},
        {"{\"b\":{\"z\":1,\"0\":2},\"a\":3}", "7602016276020130 7d02017a7d01 01617d03"},
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct crdt_buf out = {0};
        const uint8_t *text = (const uint8_t *)texts[i].json;
        size_t len = strlen(texts[i].json);
        cr_assert_eq(crdt_json_validate(text, len, NESTING), 0, "%s", texts[i].json);
        cr_assert_eq(crdt_json_to_any(text, len, NESTING, &out), 0);
        assert_buf(&out, texts[i].hex, texts[i].json);
    }
}

Test(any, refuses_what_is_not_json)
{
    static const char *const bad[] = {
        "",          " ",         "nul",
        "nulll",     "undefined", "01",
        "-",         "1.",        ".5",
        "1e",        "+1",        "0x1",
        "1 2",       "\"",        "\"\n\"",
        "\"\\x\"",   "\"\\u12\"", "'a'",
        "[",         "[1,]",      "[,1]",
        "{\"a\"}",   "{\"a\":}",  "{\"a\":1,}",
        "{a:1}",     "[1}",       "\357\273\2771",
        "{\"a\":1]", "\"\\",      "\"\\u",
        "NaN",       "Infinity",  "truex",
        "}",         "]",         "{{",
        "[}",        "{]",        "{1:2}",
        "{\"a\" 1}", "[1 2]",     "1e+",
        "1,2",       "[],[]",     "\"\\u12g4\"",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct crdt_buf out = {0};
        const uint8_t *text = (const uint8_t *)bad[i];
        cr_assert_eq(crdt_json_validate(text, strlen(bad[i]), NESTING), -EBADMSG, "%s", bad[i]);
        cr_assert_eq(crdt_json_to_any(text, strlen(bad[i]), NESTING, &out), -EBADMSG);
        crdt_buf_done(&out);
    }
}

Test(any, prints_numbers_as_javascript_does)
{
    static const struct {
        double value;
        const char *text;
    } numbers[] = {
        {0, "0"},
        {-0.0, "0"},
        {1, "1"},
        {-1.5, "-1.5"},
        {100, "100"},
        {0.1, "0.1"},
        {0.000001, "0.000001"},
        {0.0000001, "1e-7"},
        {1.5e-9, "1.5e-9"},
        {123456789012345680000.0, "123456789012345680000"},
        {1e21, "1e+21"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},
        {5e-324, "5e-324"},
        {2.2250738585072014e-308, "2.2250738585072014e-308"},
        {0x1p-44, "5.684341886080802e-14"},
        {9007199254740993.0, "9007199254740992"},
        {0.30000000000000004, "0.30000000000000004"},
        {INFINITY, "null"},
        {NAN, "null"},
    };
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct crdt_buf out = {0};
        crdt_json_write_number(&out, numbers[i].value);
        assert_text(&out, numbers[i].text);
    }
}

Test(any, escapes_strings_as_json_stringify_does)
{
    static const char text[] = "a\"\\/\b\f\n\r\t\x01\x1f\x7f\u2028\u00e9";
    struct crdt_buf out = {0};
    crdt_json_write_string(&out, text, sizeof(text) - 1);
    assert_text(&out, "\"a\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\u2028\u00e9\"");
    crdt_json_write_string(&out, "", 0);
    assert_text(&out, "\"\"");
}
