/* Lower case, against what JavaScript's toLowerCase() gives. */
#include "bytes.h"
#include "crdt/lower.h"

Test(lower, follows_javascript)
{
    static const char *const cases[][2] = {
        {"", ""},
        {"DIV", "div"},
        {"a1-_.:Z", "a1-_.:z"},
        {"\u00c0\u00d7\u00dd", "\u00e0\u00d7\u00fd"},
        {"\u0130", "i\u0307"},
        {"\u0100\u0101\u0178\u0187", "\u0101\u0101\u00ff\u0188"},
        {"\u0391\u03a9\u0410\u042f", "\u03b1\u03c9\u0430\u044f"},
        {"\u1e9e\u2126\u212a\uff21\uff3a", "\u00df\u03c9k\uff41\uff5a"},
        {"\u10a0\u13a0\u1c90", "\u2d00\uab70\u10d0"},
        {"\U00010400\U0001e921\U0001f600", "\U00010428\U0001e943\U0001f600"},
        {"\u65e5\u672c", "\u65e5\u672c"},
        /* Sigma at the end of a word, alone, and with what is ignored around it. */
        {"\u039f\u0394\u039f\u03a3", "\u03bf\u03b4\u03bf\u03c2"},
        {"\u03a3", "\u03c3"},
        {"\u03a3\u03a3 \u03a3\u0391", "\u03c3\u03c2 \u03c3\u03b1"},
        {"A\u0301\u03a3'", "a\u0301\u03c2'"},
        {"A\u03a3'\u0301B", "a\u03c3'\u0301b"},
        {"1\u03a3.\u03a31", "1\u03c3.\u03c21"},
        {"A\u03a3\U00010400", "a\u03c3\U00010428"},
        {"\U00010400\u03a3", "\U00010428\u03c2"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct crdt_buf out = {0};

        crdt_write_lower(&out,
                         (struct crdt_slice){(const uint8_t *)cases[i][0], strlen(cases[i][0])});
        cr_assert_eq(out.error, 0);
        assert_text(&out, cases[i][1]);
    }
}
