#include "text_diff.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Two searches, from the start and from the end, make half of the edits each. */
#define MAX_DEPTH ((int64_t)(TEXT_DIFF_EDITS / 2))
/* Diagonals that a search may get to, with one more at either end. */
#define DIAGONALS (2 * (MAX_DEPTH + 1) + 1)
#define NOWHERE   (-2)

/* Symbols to compare: code points, or numbers of lines. */
struct symbols {
    const uint32_t *list;
    int64_t count;
};

struct search {
    int64_t forward[DIAGONALS]; /* the furthest points, by diagonal */
    int64_t backward[DIAGONALS];
    struct text_diff *out; /* counts symbols */
    struct symbols all_old;
    struct symbols all_new;
    uint64_t steps; /* that may still be made */
    bool is_complete;
};

void text_diff_done(struct text_diff *diff)
{
    free(diff->hunks);
    *diff = (struct text_diff){0};
}

/* Adds a difference behind the others; one that touches the last becomes a part of it. */
static int add_hunk(struct text_diff *diff, struct text_hunk hunk)
{
    struct text_hunk *last = diff->count > 0 ? &diff->hunks[diff->count - 1] : NULL;

    if (last && last->old_end == hunk.old_start && last->new_end == hunk.new_start) {
        last->old_end = hunk.old_end;
        last->new_end = hunk.new_end;
        return 0;
    }
    if (diff->count == diff->cap) {
        size_t cap = diff->cap * 2 + 8;
        struct text_hunk *grown = reallocarray(diff->hunks, cap, sizeof(*grown));

        if (!grown)
            return -ENOMEM;
        diff->hunks = grown;
        diff->cap = cap;
    }
    diff->hunks[diff->count++] = hunk;
    return 0;
}

/* ---- the middle of a least edit ---- */

/* A run of equal symbols, maybe none, from old_start:new_start to old_end:new_end. */
struct snake {
    int64_t old_start;
    int64_t new_start;
    int64_t old_end;
    int64_t new_end;
};

/* One direction: the strings as it sees them. */
struct side {
    struct symbols old;
    struct symbols new;
    bool is_backward;
    int64_t *furthest; /* index 0 is the diagonal 0 */
};

static uint32_t symbol_at(const struct side *side, const struct symbols *symbols, int64_t at)
{
    return symbols->list[side->is_backward ? symbols->count - 1 - at : at];
}

/* The furthest point on diagonal `k` with `depth` edits, before and behind its run of equal
 * symbols. False: the diagonal cannot be got to. */
static bool advance(const struct side *side, int64_t k, int64_t depth, int64_t *ret_start,
                    int64_t *ret_end)
{
    int64_t from_left = side->furthest[k - 1] + 1, from_above = side->furthest[k + 1], x;

    if (from_left > side->old.count)
        from_left = NOWHERE;
    if (from_above - k > side->new.count)
        from_above = NOWHERE;
    x = from_left > from_above ? from_left : from_above;
    if (depth == 0)
        x = 0;
    side->furthest[k] = NOWHERE;
    if (x < 0 || x < k)
        return false;
    *ret_start = x;
    while (x < side->old.count && x - k < side->new.count &&symbol_at(side, &side->old, x) ==
                                      symbol_at(side, &side->new, x - k))
        x++;
    *ret_end = side->furthest[k] = x;
    return true;
}

static struct snake describe_snake(const struct side *side, int64_t k, int64_t start, int64_t end)
{
    int64_t n = side->old.count, m = side->new.count;

    if (!side->is_backward)
        return (struct snake){start, start - k, end, end - k};
    return (struct snake){n - end, m - (end - k), n - start, m - (start - k)};
}

/* Makes one more edit in one direction; true if it meets the other there. */
static bool deepen(struct search *search, const struct side *side, const struct side *other,
                   int64_t depth, struct snake *ret_snake)
{
    int64_t n = side->old.count, m = side->new.count, delta = n - m;
    int64_t low = depth <= m ? -depth : -m + ((depth - m) & 1);
    int64_t high = depth <= n ? depth : n - ((depth - n) & 1);
    /* Only every second step can end on a diagonal where the other has been. */
    bool can_meet = (delta & 1) == !side->is_backward;
    int64_t reach = side->is_backward ? depth : depth - 1;

    side->furthest[-depth - 1] = side->furthest[depth + 1] = NOWHERE;
    for (int64_t k = low; k <= high; k += 2) {
        int64_t start, end, mirrored = delta - k;
        uint64_t steps;

        if (!advance(side, k, depth, &start, &end))
            continue;
        steps = (uint64_t)(end - start) + 1;
        search->steps -= steps < search->steps ? steps : search->steps;
        if (can_meet && mirrored >= -reach && mirrored <= reach && other->furthest[mirrored] >= 0 &&
            end + other->furthest[mirrored] >= n) {
            *ret_snake = describe_snake(side, k, start, end);
            return true;
        }
    }
    return false;
}

/* False: not within the bounds. */
static bool find_middle(struct search *search, struct symbols old, struct symbols new,
                        struct snake *ret_snake)
{
    struct side forward = {old, new, false, search->forward + MAX_DEPTH + 1};
    struct side backward = {old, new, true, search->backward + MAX_DEPTH + 1};
    int64_t difference = old.count > new.count ? old.count - new.count : new.count - old.count;

    if (difference > 2 * MAX_DEPTH)
        return false;
    for (int64_t depth = 0; depth <= MAX_DEPTH && search->steps > 0; depth++)
        if (deepen(search, &forward, &backward, depth, ret_snake) ||
            deepen(search, &backward, &forward, depth, ret_snake))
            return true;
    return false;
}

/* Compares parts of the symbols; what is not found within the bounds is one difference. */
static int compare(struct search *search, struct symbols old, struct symbols new)
{
    struct snake middle;
    int r;

    while (old.count > 0 && new.count > 0 && old.list[0] == new.list[0]) {
        old = (struct symbols){old.list + 1, old.count - 1};
        new = (struct symbols){new.list + 1, new.count - 1};
    }
    while (old.count > 0 && new.count > 0 && old.list[old.count - 1] == new.list[new.count - 1]) {
        old.count--;
        new.count--;
    }
    if (old.count > 0 && new.count > 0 && find_middle(search, old, new, &middle)) {
        r = compare(search, (struct symbols){old.list, middle.old_start},
                    (struct symbols){new.list, middle.new_start});
        if (r < 0)
            return r;
        return compare(search,
                       (struct symbols){old.list + middle.old_end, old.count - middle.old_end},
                       (struct symbols){new.list + middle.new_end, new.count - middle.new_end});
    }
    if (old.count > 0 && new.count > 0)
        search->is_complete = false;
    if (old.count == 0 && new.count == 0)
        return 0;

    size_t old_start = (size_t)(old.list - search->all_old.list);
    size_t new_start = (size_t)(new.list - search->all_new.list);

    return add_hunk(search->out, (struct text_hunk){old_start, old_start + (size_t)old.count,
                                                    new_start, new_start + (size_t) new.count});
}

/* Finds the differences, counted in symbols; `*steps` is what it may take and what is left. */
static int search_symbols(struct symbols old, struct symbols new, uint64_t *steps,
                          struct text_diff *out, bool *ret_is_complete)
{
    struct search *search = malloc(sizeof(*search));
    int r;

    if (!search)
        return -ENOMEM;
    search->out = out;
    search->all_old = old;
    search->all_new = new;
    search->steps = *steps;
    search->is_complete = true;
    r = compare(search, old, new);
    *steps = search->steps;
    *ret_is_complete = search->is_complete;
    free(search);
    return r;
}

/* ---- code points ---- */

static bool is_continuation(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

/* The code points of UTF-8: their bytes in one number, for only whether they are equal matters. */
static int read_points(struct crdt_slice text, struct symbols *ret_symbols)
{
    uint32_t *list = reallocarray(NULL, text.len + 1, sizeof(*list));
    int64_t count = 0;

    if (!list)
        return -ENOMEM;
    for (size_t i = 0; i < text.len; i++) {
        if (is_continuation(text.data[i]))
            list[count - 1] = list[count - 1] << 8 | text.data[i];
        else
            list[count++] = text.data[i];
    }
    *ret_symbols = (struct symbols){list, count};
    return 0;
}

/* The byte behind the next `count` code points. */
static size_t skip_points(struct crdt_slice text, size_t at, size_t count)
{
    for (; count > 0; count--)
        do
            at++;
        while (at < text.len && is_continuation(text.data[at]));
    return at;
}

/* ---- lines ---- */

static size_t line_end(struct crdt_slice text, size_t at)
{
    const uint8_t *newline = memchr(text.data + at, '\n', text.len - at);

    return newline ? (size_t)(newline - text.data) + 1 : text.len;
}

static size_t count_lines(struct crdt_slice text)
{
    size_t count = 0;

    for (size_t at = 0; at < text.len; at = line_end(text, at))
        count++;
    return count;
}

struct line {
    struct crdt_slice text;
    uint32_t *number; /* where to put it */
};

static int compare_lines(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    size_t len = x->text.len < y->text.len ? x->text.len : y->text.len;
    int order = memcmp(x->text.data, y->text.data, len);

    return order ? order : (x->text.len > y->text.len) - (x->text.len < y->text.len);
}

static void list_lines(struct crdt_slice text, uint32_t *numbers, struct line *lines)
{
    for (size_t at = 0, end; at < text.len; at = end) {
        end = line_end(text, at);
        *lines++ = (struct line){{text.data + at, end - at}, numbers++};
    }
}

/* Gives each line a number, equal lines the same. The numbers are those of `old`, then of `new`; to
 * be freed as one. */
static int number_lines(struct crdt_slice old, struct crdt_slice new, struct symbols *ret_old,
                        struct symbols *ret_new)
{
    size_t old_count = count_lines(old), new_count = count_lines(new), count;
    uint32_t *numbers, number = 0;
    struct line *lines;

    count = old_count + new_count;
    numbers = reallocarray(NULL, count + 1, sizeof(*numbers));
    lines = reallocarray(NULL, count + 1, sizeof(*lines));
    if (!numbers || !lines) {
        free(numbers);
        free(lines);
        return -ENOMEM;
    }
    list_lines(old, numbers, lines);
    list_lines(new, numbers + old_count, lines + old_count);
    qsort(lines, count, sizeof(*lines), compare_lines);
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && compare_lines(&lines[i - 1], &lines[i]) != 0)
            number++;
        *lines[i].number = number;
    }
    free(lines);
    *ret_old = (struct symbols){numbers, (int64_t)old_count};
    *ret_new = (struct symbols){numbers + old_count, (int64_t)new_count};
    return 0;
}

static size_t skip_lines(struct crdt_slice text, size_t at, size_t count)
{
    for (; count > 0; count--)
        at = line_end(text, at);
    return at;
}

/* ---- both ---- */

/* Turns hunks of symbols into hunks of bytes. */
static void measure(struct text_diff *diff, struct crdt_slice old, struct crdt_slice new,
                    size_t (*skip)(struct crdt_slice text, size_t at, size_t count))
{
    struct text_hunk before = {0}, last = {0};

    for (size_t i = 0; i < diff->count; i++) {
        struct text_hunk *hunk = &diff->hunks[i], symbols = *hunk;

        hunk->old_start = skip(old, last.old_end, symbols.old_start - before.old_end);
        hunk->old_end = skip(old, hunk->old_start, symbols.old_end - symbols.old_start);
        hunk->new_start = skip(new, last.new_end, symbols.new_start - before.new_end);
        hunk->new_end = skip(new, hunk->new_start, symbols.new_end - symbols.new_start);
        before = symbols;
        last = *hunk;
    }
}

static int compare_points(struct crdt_slice old, struct crdt_slice new, uint64_t *steps,
                          struct text_diff *out, bool *ret_is_complete)
{
    struct symbols old_points = {0}, new_points = {0};
    int r = read_points(old, &old_points);

    if (r == 0)
        r = read_points(new, &new_points);
    if (r == 0)
        r = search_symbols(old_points, new_points, steps, out, ret_is_complete);
    if (r == 0)
        measure(out, old, new, skip_points);
    free((void *)(uintptr_t)old_points.list);
    free((void *)(uintptr_t)new_points.list);
    return r;
}

/* Adds the differences within a run of lines. */
static int refine(struct crdt_slice old, struct crdt_slice new, struct text_hunk lines,
                  uint64_t *steps, struct text_diff *out)
{
    struct text_diff points = {0};
    bool is_complete;
    int r = compare_points(text_part(old, lines.old_start, lines.old_end),
                           text_part(new, lines.new_start, lines.new_end), steps, &points,
                           &is_complete);

    for (size_t i = 0; i < points.count && r == 0; i++) {
        const struct text_hunk *hunk = &points.hunks[i];

        r = add_hunk(out, (struct text_hunk){
                              lines.old_start + hunk->old_start, lines.old_start + hunk->old_end,
                              lines.new_start + hunk->new_start, lines.new_start + hunk->new_end});
    }
    text_diff_done(&points);
    return r;
}

static int compare_by_lines(struct crdt_slice old, struct crdt_slice new, uint64_t *steps,
                            struct text_diff *out)
{
    struct symbols old_lines = {0}, new_lines = {0};
    struct text_diff lines = {0};
    bool is_complete;
    int r = number_lines(old, new, &old_lines, &new_lines);

    if (r == 0)
        r = search_symbols(old_lines, new_lines, steps, &lines, &is_complete);
    if (r == 0)
        measure(&lines, old, new, skip_lines);
    for (size_t i = 0; i < lines.count && r == 0; i++) {
        const struct text_hunk *hunk = &lines.hunks[i];

        /* All of both texts has been compared already. */
        if (hunk->old_end - hunk->old_start == old.len &&
            hunk->new_end - hunk->new_start == new.len)
            r = add_hunk(out, *hunk);
        else
            r = refine(old, new, *hunk, steps, out);
    }
    text_diff_done(&lines);
    free((void *)(uintptr_t)old_lines.list);
    return r;
}

/* Bytes at the start that both have, and that are whole code points. */
static size_t common_start(struct crdt_slice old, struct crdt_slice new)
{
    size_t len = old.len < new.len ? old.len : new.len, at = 0;

    while (at < len && old.data[at] == new.data[at])
        at++;
    while (at > 0 && ((at < old.len && is_continuation(old.data[at])) ||
                      (at < new.len &&is_continuation(new.data[at]))))
        at--;
    return at;
}

/* The same at the end. */
static size_t common_end(struct crdt_slice old, struct crdt_slice new)
{
    size_t len = old.len < new.len ? old.len : new.len, at = 0;

    while (at < len && old.data[old.len - at - 1] == new.data[new.len - at - 1])
        at++;
    while (at > 0 && is_continuation(old.data[old.len - at]))
        at--;
    return at;
}

static void move_hunks(struct text_diff *diff, size_t by)
{
    for (size_t i = 0; i < diff->count; i++) {
        struct text_hunk *hunk = &diff->hunks[i];

        hunk->old_start += by;
        hunk->old_end += by;
        hunk->new_start += by;
        hunk->new_end += by;
    }
}

int text_diff_make(struct text_diff *diff, struct crdt_slice from, struct crdt_slice to)
{
    size_t start = common_start(from, to), end;
    struct crdt_slice old = text_part(from, start, from.len), new = text_part(to, start, to.len);
    uint64_t steps = TEXT_DIFF_STEPS / 2;
    bool is_complete = true;
    int r;

    end = common_end(old, new);
    old.len -= end;
    new.len -= end;
    if (old.len == 0 && new.len == 0)
        return 0;
    if (old.len == 0 || new.len == 0)
        r = add_hunk(diff, (struct text_hunk){0, old.len, 0, new.len});
    else
        r = compare_points(old, new, &steps, diff, &is_complete);
    if (r == 0 && !is_complete) {
        diff->count = 0;
        steps = TEXT_DIFF_STEPS / 2;
        r = compare_by_lines(old, new, &steps, diff);
    }
    if (r == 0)
        move_hunks(diff, start);
    return r;
}
