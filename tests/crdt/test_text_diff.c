/* What a diff promises: it turns one text into the other, code point by code point, with the fewest
 * of them deleted and inserted as long as it is within its bounds. */
#include <stdlib.h>

#include "bytes.h"
#include "crdt/text_diff.h"

static struct crdt_slice slice(const char *text)
{
    return (struct crdt_slice){(const uint8_t *)text, strlen(text)};
}

static size_t count_points(struct crdt_slice text)
{
    size_t count = 0;

    for (size_t i = 0; i < text.len; i++)
        count += (text.data[i] & 0xc0) != 0x80;
    return count;
}

/* Does the diff say how to get from one text to the other? Returns its length in code points. */
static size_t check(const struct text_diff *diff, struct crdt_slice from, struct crdt_slice to)
{
    struct text_hunk last = {0};
    size_t edits = 0;

    for (size_t i = 0; i < diff->count; i++) {
        const struct text_hunk *hunk = &diff->hunks[i];
        struct crdt_slice gone = text_part(from, hunk->old_start, hunk->old_end);
        struct crdt_slice added = text_part(to, hunk->new_start, hunk->new_end);
        size_t same = hunk->old_start - last.old_end;

        cr_assert(gone.len > 0 || added.len > 0);
        cr_assert(lib0_utf8_is_valid(gone.data, gone.len));
        cr_assert(lib0_utf8_is_valid(added.data, added.len));
        cr_assert(i == 0 || same > 0, "differences touch");
        cr_assert_eq(same, hunk->new_start - last.new_end);
        cr_assert(same == 0 || !memcmp(from.data + last.old_end, to.data + last.new_end, same));
        edits += count_points(gone) + count_points(added);
        last = *hunk;
    }
    cr_assert_eq(from.len - last.old_end, to.len - last.new_end);
    cr_assert(from.len == last.old_end ||
              !memcmp(from.data + last.old_end, to.data + last.new_end, from.len - last.old_end));
    return edits;
}

static size_t diff_len(struct crdt_slice from, struct crdt_slice to)
{
    struct text_diff diff = {0};
    size_t edits;

    cr_assert_eq(text_diff_make(&diff, from, to), 0);
    edits = check(&diff, from, to);
    text_diff_done(&diff);
    return edits;
}

Test(text_diff, finds_what_differs)
{
    static const struct {
        const char *from;
        const char *to;
        size_t edits;
    } rows[] = {
        {"", "", 0},
        {"abc", "abc", 0},
        {"", "abc", 3},
        {"abc", "", 3},
        {"abc", "abXc", 1},
        {"aab", "aaab", 1},
        {"abcabba", "cbabac", 5},
        /* The last byte differs, the first byte differs, both have different lengths. */
        {"a\xf0\x9f\x98\x80z", "a\xf0\x9f\x98\x81z", 2},
        {"a\xc3\xa9z", "a\xc5\xa9z", 2},
        {"a\xc3\xa9", "a\xe6\x97\xa9", 2},
        {"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80\xf0\x9f\x98\x80", 1},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        cr_assert_eq(diff_len(slice(rows[i].from), slice(rows[i].to)), rows[i].edits, "row %zu", i);
}

/* ---- at random ---- */

#define POINTS 40

static uint64_t random_state;

static uint32_t below(uint32_t limit)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((random_state >> 33) % limit);
}

struct text {
    uint32_t points[POINTS];
    size_t count;
    char bytes[POINTS * 4 + 1];
};

static void make_text(struct text *text, uint32_t letters)
{
    static const char *const alphabet[] = {"a", "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x81", "\xc3\xa9",
                                           "\n"};

    *text = (struct text){.count = below(POINTS + 1)};
    for (size_t i = 0; i < text->count; i++) {
        text->points[i] = below(letters);
        strcat(text->bytes, alphabet[text->points[i]]);
    }
}

/* The textbook way. */
static size_t least_edits(const struct text *a, const struct text *b)
{
    size_t edits[POINTS + 1][POINTS + 1];

    for (size_t i = 0; i <= a->count; i++) {
        for (size_t j = 0; j <= b->count; j++) {
            if (i == 0 || j == 0)
                edits[i][j] = i + j;
            else if (a->points[i - 1] == b->points[j - 1])
                edits[i][j] = edits[i - 1][j - 1];
            else if (edits[i - 1][j] < edits[i][j - 1])
                edits[i][j] = edits[i - 1][j] + 1;
            else
                edits[i][j] = edits[i][j - 1] + 1;
        }
    }
    return edits[a->count][b->count];
}

Test(text_diff, is_the_shortest, .timeout = 120)
{
    random_state = 1;
    for (int i = 0; i < 20000; i++) {
        uint32_t letters = 1 + below(5);
        struct text a, b;

        make_text(&a, letters);
        make_text(&b, letters);
        cr_assert_eq(diff_len(slice(a.bytes), slice(b.bytes)), least_edits(&a, &b), "%s to %s",
                     a.bytes, b.bytes);
    }
}

/* ---- bounds ---- */

/* `lines` lines of 50 letters and a number; in `changed` ones the letters are others. */
static struct crdt_buf many_lines(int lines, uint32_t changed)
{
    struct crdt_buf out = {0};

    for (int i = 0; i < lines; i++) {
        char line[80];
        bool differs = changed > 0 && below((uint32_t)lines) < changed;
        int len = snprintf(line, sizeof(line), "%s %d\n",
                           differs ? "ZYXWVUTSRQPONMLKJIHGFEDCBAZYXWVUTSRQPONMLKJIHGFEDC"
                                   : "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwx",
                           i);

        lib0_write_bytes(&out, line, (size_t)len);
    }
    return out;
}

static struct crdt_slice slice_of_buf(const struct crdt_buf *buf)
{
    return (struct crdt_slice){buf->data, buf->len};
}

/* Too much for code points alone: lines keep what stays. */
Test(text_diff, keeps_lines_of_what_differs_much, .timeout = 60)
{
    struct crdt_buf from, to, long_to = {0};
    size_t edits;

    random_state = 3;
    from = many_lines(5000, 0);
    to = many_lines(5000, 500);
    edits = diff_len(slice_of_buf(&from), slice_of_buf(&to));
    cr_assert_gt(edits, TEXT_DIFF_EDITS);
    cr_assert_leq(edits, 700 * 100);

    /* A letter at one end, and much more than the bound at the other. */
    lib0_write_bytes(&long_to, "x", 1);
    lib0_write_bytes(&long_to, from.data, from.len);
    lib0_write_bytes(&long_to, to.data, TEXT_DIFF_EDITS + 1000);
    lib0_write_bytes(&long_to, "\n", 1);
    edits = diff_len(slice_of_buf(&from), slice_of_buf(&long_to));
    cr_assert_eq(edits, TEXT_DIFF_EDITS + 1000 + 2);
    crdt_buf_done(&from);
    crdt_buf_done(&to);
    crdt_buf_done(&long_to);
}

/* Within the bound nothing is given away, one beyond it without a line in common everything is. */
Test(text_diff, has_a_bound, .timeout = 60)
{
    enum { LEN = TEXT_DIFF_EDITS + 10 };
    char *from = calloc(LEN + 1, 1), *to = calloc(LEN + 1, 1);

    memset(from, 'a', LEN);
    memset(to, 'a', LEN);
    for (size_t i = 0; i < TEXT_DIFF_EDITS / 2; i++)
        to[2 * i] = 'b';
    cr_assert_eq(diff_len(slice(from), slice(to)), TEXT_DIFF_EDITS);
    to[LEN - 1] = 'b';
    cr_assert_eq(diff_len(slice(from), slice(to)), (size_t)2 * LEN);
    free(from);
    free(to);
}

/* Texts that look alike wherever one is shifted against the other cost the most. */
Test(text_diff, ends_with_any_texts, .timeout = 60)
{
    enum { LEN = 4000000 };
    char *from = malloc(LEN), *to = malloc(LEN);

    random_state = 5;
    memset(from, 'a', LEN);
    memset(to, 'a', LEN);
    for (size_t i = 0; i < 2200; i++) {
        from[below(LEN)] = (char)(i % 7 ? 'b' : '\n');
        to[below(LEN)] = (char)(i % 5 ? 'c' : '\n');
    }
    (void)diff_len((struct crdt_slice){(uint8_t *)from, LEN},
                   (struct crdt_slice){(uint8_t *)to, LEN});
    for (size_t i = 0; i < LEN; i++) {
        from[i] = (char)(i % 2 ? '\n' : 'a' + (int)below(2));
        to[i] = (char)(i % 2 ? '\n' : 'a' + (int)below(2));
    }
    (void)diff_len((struct crdt_slice){(uint8_t *)from, LEN},
                   (struct crdt_slice){(uint8_t *)to, LEN});
    free(from);
    free(to);
}
