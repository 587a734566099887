#include "ctl/escape.h"

#include <criterion/criterion.h>

Test(escape, what_could_fool_a_terminal_is_spelled_out)
{
    static const struct {
        const char *in;
        const char *out;
    } cases[] = {
        {"plain name", "plain name"},
        {"\xc3\xbcn\xc3\xaf \xe2\x9c\x93 \xf0\x9f\x98\x80",
         "\xc3\xbcn\xc3\xaf \xe2\x9c\x93 \xf0\x9f\x98\x80"},
        {"\x1b[2J", "\\x1b[2J"},
        {"a\nb\tc\r", "a\\x0ab\\x09c\\x0d"},
        {"\x7f", "\\x7f"},
        {"back\\slash", "back\\\\slash"},
        {"\xc2\x9b"
         "31m",
         "\\u{9b}31m"},
        {"\xe2\x80\xae"
         "evil",
         "\\u{202e}evil"},
        {"\xe2\x81\xa6", "\\u{2066}"},
        {"\xef\xbb\xbf", "\\u{feff}"},
        {"\xf3\xa0\x81\x81", "\\u{e0041}"},
        {"\xff\xfe", "\\xff\\xfe"},
        {"cut \xe2\x82", "cut \\xe2\\x82"},
        {"\xc0\x80", "\\xc0\\x80"},
        {"\xed\xa0\x80", "\\xed\\xa0\\x80"},
        {"", ""},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct buffer out = {0};
        escape_append(&out, slice_str(cases[i].in));
        buffer_append(&out, "", 1);
        cr_assert_str_eq((const char *)out.data, cases[i].out);
        buffer_done(&out);
    }
}
