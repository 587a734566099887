#include "common/names.h"

#include <criterion/criterion.h>

Test(names, utf8_follows_rfc_3629)
{
    static const struct {
        const char *bytes;
        size_t len;
        bool is_valid;
    } rows[] = {
        {"", 0, true},
        {"plain", 5, true},
        {"\xc3\xa9", 2, true},
        {"\xe2\x82\xac", 3, true},
        {"\xf0\x9f\x98\x80", 4, true},
        {"\xf4\x8f\xbf\xbf", 4, true},
        {"\xf4\x90\x80\x80", 4, false}, /* above U+10FFFF */
        {"\xc0\x80", 2, false},         /* overlong */
        {"\xe0\x80\x80", 3, false},     /* overlong */
        {"\xf0\x80\x80\x80", 4, false}, /* overlong */
        {"\xed\xa0\x80", 3, false},     /* surrogate */
        {"\xed\x9f\xbf", 3, true},
        {"\x80", 1, false},
        {"\xff", 1, false},
        {"\xc3", 1, false},
        {"\xe2\x82", 2, false},
        {"\xe2\x28\xa1", 3, false},
        {"\xe2\x82\x28", 3, false},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        cr_expect_eq(utf8_is_valid(slice_of(rows[i].bytes, rows[i].len)), rows[i].is_valid,
                     "row %zu", i);
}

Test(names, have_1_to_255_bytes_without_nul)
{
    char long_name[256];

    memset(long_name, 'a', sizeof(long_name));
    cr_expect(!name_is_valid(slice_of("", 0)));
    cr_expect(name_is_valid(slice_of(long_name, 255)));
    cr_expect(!name_is_valid(slice_of(long_name, 256)));
    cr_expect(!name_is_valid(slice_of("a\0b", 3)));
    cr_expect(!name_is_valid(slice_of("\xff", 1)));
    cr_expect(name_is_valid(slice_str("a/b ../c")));
}

Test(names, hash_is_sha256_of_tenant_nul_room)
{
    char hex[NAME_HASH_HEX + 1];
    char other[NAME_HASH_HEX + 1];

    /* printf 'a\0b' | sha256sum */
    name_hash(slice_str("a"), slice_str("b"), hex);
    cr_expect_str_eq(hex, "59b271ae1bbcb1d31d41929817f4b16f");
    name_hash(slice_str("ab"), slice_str(""), other);
    cr_expect_str_neq(hex, other);
    name_hash(slice_str(""), slice_str("ab"), hex);
    cr_expect_str_neq(hex, other);
}

Test(names, control_characters_of_utf8)
{
    static const struct {
        const char *text;
        bool has_control;
    } rows[] = {
        {"", false},         {"a b", false},      {"a\tb", true},          {"\x01", true},
        {"\x7f", true},      {"~", false},        {"\xc2\x80", true},      {"a\xc2\x9f", true},
        {"\xc2\xa0", false}, {"\xc3\x85", false}, {"\xe2\x80\x8d", false}, {"\xe2\x80\x85", false},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        cr_expect_eq(utf8_has_control(slice_str(rows[i].text)), rows[i].has_control, "row %zu", i);
    cr_expect(utf8_has_control(slice_of("a\0", 2)));
}
