#include "common/pattern.h"

#include "common/memory.h"

#include <criterion/criterion.h>

Test(pattern, table)
{
    static const struct {
        const char *pattern;
        const char *name;
        bool fits;
    } rows[] = {
        {"a", "a", true},
        {"a", "b", false},
        {"a", "A", false},
        {"a", "ab", false},
        {"ab", "a", false},
        {"", "", true},
        {"", "a", false},
        {"a", "", false},
        {"*", "", true},
        {"*", "a/b/c", true},
        {"**", "a", true},
        {"?", "", false},
        {"?", "/", true},
        {"?", "ab", false},
        {"docs/*", "docs/", true},
        {"docs/*", "docs/a/b", true},
        {"docs/*", "docs", false},
        {"docs/*", "xdocs/a", false},
        {"*.tmp", "a.tmp.tmp", true},
        {"*.tmp", "a.tmpx", false},
        {"a*b*c", "abc", true},
        {"a*b*c", "a-b-b-c", true},
        {"a*b*c", "acb", false},
        {"*ab?", "aabab1", true},
        {"*ab?", "aabab", false},
        {"a?c*", "abc", true},
        {"*?", "", false},
        {"?*?", "ab", true},
        {"?*?", "a", false},
        /* characters, not bytes */
        {"?", "\xc3\xa9", true},
        {"??", "\xc3\xa9", false},
        {"*?", "\xf0\x9f\x8c\x8d", true},
        {"*??", "\xf0\x9f\x8c\x8d", false},
        {"\xc3\xa9*", "\xc3\xa9t\xc3\xa9", true},
        {"\xc3\xa9", "\xc3\xa8", false},
        /* nothing else has a meaning */
        {"[ab]", "a", false},
        {"[ab]", "[ab]", true},
        {"\\*", "*", false},
        {"\\*", "\\x", true},
        {"{a,b}", "a", false},
        {".*", "a", false},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        cr_expect(pattern_fits(slice_str(rows[i].pattern), slice_str(rows[i].name)) == rows[i].fits,
                  "%s and %s", rows[i].pattern, rows[i].name);
}

/* A NUL is a character like others: the lengths count. */
Test(pattern, names_with_nul)
{
    cr_expect(!pattern_fits(slice_of("a\0b", 3), slice_of("a\0c", 3)));
    cr_expect(pattern_fits(slice_of("a?b", 3), slice_of("a\0b", 3)));
}

/* With backtracking over each star this would outlast everybody. */
Test(pattern, many_stars_end, .timeout = 20)
{
    char pattern[256];
    char name[256];

    for (size_t i = 0; i < 254; i++)
        pattern[i] = i % 2 ? 'a' : '*';
    pattern[254] = 'b';
    memset(name, 'a', 255);
    for (int i = 0; i < 1000; i++)
        cr_assert_not(pattern_fits(slice_of(pattern, 255), slice_of(name, 255)));
    name[254] = 'b';
    cr_assert(pattern_fits(slice_of(pattern, 255), slice_of(name, 255)));
}
