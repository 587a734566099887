#include "common/pattern.h"

/* Where the character behind the one at `i` begins. */
static size_t next_character(struct slice s, size_t i)
{
    do
        i++;
    while (i < s.len && (s.data[i] & 0xc0) == 0x80);
    return i;
}

/* When a part does not fit only the last `*` is made to stand for more: what the earlier ones could
 * take instead is no better, as this one may stand for that too. */
bool pattern_fits(struct slice pattern, struct slice name)
{
    size_t p = 0;
    size_t n = 0;
    size_t behind_star = SIZE_MAX; /* in the pattern; SIZE_MAX: there was none */
    size_t star_end = 0;           /* what the star stands for ends here, in the name */

    while (n < name.len || p < pattern.len) {
        if (p < pattern.len && pattern.data[p] == '*') {
            behind_star = ++p;
            star_end = n;
        } else if (p < pattern.len && n < name.len && pattern.data[p] == '?') {
            p++;
            n = next_character(name, n);
        } else if (p < pattern.len && n < name.len && pattern.data[p] == name.data[n]) {
            p++;
            n++;
        } else if (behind_star != SIZE_MAX && star_end < name.len) {
            star_end = next_character(name, star_end);
            p = behind_star;
            n = star_end;
        } else {
            return false;
        }
    }
    return true;
}
