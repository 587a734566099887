#include "gateway/json_check.h"

#include <criterion/criterion.h>

static const char *const good[] = {
    "{}",
    "[]",
    "null",
    "true",
    "false",
    "0",
    "-0",
    "10",
    "1.5",
    "-1.5e10",
    "1E+2",
    "1e-2",
    "\"\"",
    "\"a\\n\\u00e9\\ud800\"",
    " { \"a\" : [ 1 , 2 , {} ] , \"b\" : null } ",
    "[[],[[]],{\"a\":{}}]",
    "{\"a\":1,\"a\":2}",
    "\"\xc3\xa9\"",
    "\t\n\r 1",
};

static const char *const bad[] = {
    "",         " ",           "{",
    "}",        "[",           "]",
    "{{",       "[}",          "{]",
    "[1,]",     "{\"a\":1,}",  "{\"a\"}",
    "{a:1}",    "{1:2}",       "{\"a\" 1}",
    "[1 2]",    "01",          "1.",
    ".5",       "-",           "+1",
    "1e",       "1e+",         "nul",
    "truex",    "\"",          "\"\\\"",
    "\"\\x\"",  "\"\\u12g4\"", "\"\\u12\"",
    "\"\n\"",   "'a'",         "1,2",
    "[],[]",    "NaN",         "Infinity",
    "{\"a\":}", "[,1]",        "\xef\xbb\xbf{}",
};

Test(json_check, table)
{
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        cr_expect(json_check(slice_str(good[i])), "%s", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_expect(!json_check(slice_str(bad[i])), "%s", bad[i]);
    cr_expect(!json_check(slice_of("1\0", 2)));
    cr_expect(!json_check(slice_of("\"\\\0\"", 4)));
}

Test(json_check, depth_is_bounded)
{
    char text[2 * (JSON_CHECK_DEPTH + 2)];

    for (unsigned depth = 1; depth <= JSON_CHECK_DEPTH + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        cr_expect(json_check(slice_of(text, 2 * depth)) == (depth <= JSON_CHECK_DEPTH), "%u",
                  depth);
    }
    memset(text, '[', sizeof(text));
    cr_expect(!json_check(slice_of(text, sizeof(text))));
}
