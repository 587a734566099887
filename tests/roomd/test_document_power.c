/*
 * Power loss, where the segments lie on a disk. A document takes edits, some of which the store
 * gets at once, and is moved to a next segment now and then. What each page of its files was after
 * each step is written down; then the power fails after every step: nothing of a segment is ever
 * synced, so of every page some state is there that it once had, or none, and either file has the
 * name. What the next boot makes of that must hold all that is stored and nothing that no client
 * wrote, and the store must get whatever it lacks.
 *
 * SEED repeats the choices of a run.
 */
#include "boot.h"
#include "common/buffer.h"
#include "roomd/document.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#define PAGE       4096u
#define STEPS      240u
#define PAGES_MAX  512u
#define LARGE_EACH 6u
#define LARGE      16000u
#define EDITS_MAX  512u

static const struct boot_id before = {{1}};
static const struct boot_id later = {{2}};
static uint32_t dice;

static uint32_t roll(uint32_t below)
{
    dice ^= dice << 13;
    dice ^= dice >> 17;
    dice ^= dice << 5;
    return dice % below;
}

/* ---- what was written ---- */

struct state {
    unsigned step; /* from this one on */
    uint8_t bytes[PAGE];
};

/* Every state that each page of a file has had. */
struct history {
    int fd;
    struct state *pages[PAGES_MAX];
    unsigned counts[PAGES_MAX];
};

static struct history files[16];
static unsigned file_count;

static struct moment {
    unsigned file;   /* that has the name */
    unsigned edits;  /* that clients have made */
    uint64_t stored; /* the store has so many of them */
} moments[STEPS];

static struct history *new_history(void)
{
    cr_assert_lt(file_count, 16);
    struct history *h = &files[file_count++];
    h->fd = memfd_create("segment", MFD_CLOEXEC);
    return h;
}

static void write_down(struct history *h, unsigned step)
{
    uint8_t bytes[PAGE];
    ssize_t n;

    for (unsigned i = 0; (n = pread(h->fd, bytes, PAGE, (off_t)i * PAGE)) > 0; i++) {
        cr_assert_lt(i, PAGES_MAX);
        memset(bytes + n, 0, PAGE - (size_t)n);
        unsigned count = h->counts[i];
        if (count > 0 && memcmp(h->pages[i][count - 1].bytes, bytes, PAGE) == 0)
            continue;
        h->pages[i] = xrealloc(h->pages[i], (count + 1) * sizeof(struct state));
        h->pages[i][count].step = step;
        memcpy(h->pages[i][count].bytes, bytes, PAGE);
        h->counts[i]++;
    }
}

/* ---- edits: each is one word "<n>" of client n, with padding if it is large ---- */

static struct slice update_of(struct buffer *out, unsigned n)
{
    size_t padding = n % LARGE_EACH == 0 ? LARGE : 0;
    uint8_t head[] = {1, 1, (uint8_t)(n | 128), (uint8_t)(n >> 7), 0, 4, 1, 1, 't'};
    char word[16];
    size_t len = (size_t)snprintf(word, sizeof(word), "<%u>", n) + padding;
    uint8_t size[] = {(uint8_t)(len | 128), (uint8_t)(len >> 7 | 128), (uint8_t)(len >> 14)};

    out->len = 0;
    buffer_append(out, head, sizeof(head));
    buffer_append(out, size, sizeof(size));
    buffer_append(out, word, len - padding);
    memset(buffer_reserve(out, padding + 1), 'x', padding + 1);
    buffer_add_len(out, padding);
    buffer_append(out, "", 1);
    return slice_of(out->data, out->len);
}

static void make_edit(struct document *d, unsigned n)
{
    struct buffer update = {0};
    uint64_t seq;

    cr_assert_eq(document_edit(d, 1, CRDT_V1, update_of(&update, n), &seq), 0);
    cr_assert_eq(document_append(d), 0);
    document_clear_batch(d);
    buffer_done(&update);
}

/* Which words are in the document; there is nothing else in it. */
static void read_words(const struct crdt_doc *doc, unsigned made, bool *ret_has)
{
    struct crdt_buf text = {0};

    memset(ret_has, 0, EDITS_MAX * sizeof(*ret_has));
    cr_assert_eq(crdt_doc_read(doc, CRDT_KIND_TEXT, "t", 1, &text), 0);
    for (size_t at = 0; at < text.len;) {
        char word[16];
        unsigned n = 0;
        while (at + 1 < text.len && text.data[++at] != '>')
            n = n * 10 + (unsigned)(text.data[at] - '0');
        size_t len = (size_t)snprintf(word, sizeof(word), "<%u>", n);
        cr_assert(n > 0 && n <= made && !ret_has[n], "word %u of %u", n, made);
        cr_assert_eq(memcmp(text.data + ++at - len, word, len), 0);
        for (size_t i = 0; n % LARGE_EACH == 0 && i < LARGE; i++)
            cr_assert_eq(text.data[at++], 'x');
        ret_has[n] = true;
    }
    crdt_buf_done(&text);
}

static void apply_to(void *doc, uint64_t seq, uint64_t session, struct slice update)
{
    (void)seq;
    (void)session;
    cr_assert_eq(crdt_doc_apply(doc, CRDT_V1, update.data, update.len, NULL), 0);
}

static struct document *open_document(int fd)
{
    struct document_start start = {
        .fd = fcntl(fd, F_DUPFD_CLOEXEC, 0), .tenant = slice_str("t"), .room = slice_str("r")};
    char reason[DOCUMENT_REASON_BYTES] = "";
    struct document *d;

    cr_assert_eq(document_open(&start, &d, reason), 0, "%s", reason);
    return d;
}

static uint64_t work(void)
{
    struct history *named = new_history();
    struct history *next = NULL;
    struct document *d = open_document(named->fd);
    uint64_t stored = 0;

    cr_assert_eq(document_loaded(d, 0, 0), 0);
    uint64_t lineage = document_lineage(d);
    for (unsigned step = 0; step < STEPS; step++) {
        make_edit(d, step + 1);
        if (roll(3) == 0) {
            stored += roll((uint32_t)(step + 2 - stored));
            (void)document_set_stored(d, stored);
        }
        if (next && roll(4) == 0) {
            document_take_next(d);
            write_down(named, step);
            named = TAKE_PTR(next);
        } else if (!next && document_wants_next(d)) {
            next = new_history();
            cr_assert_eq(document_begin_next(d, fcntl(next->fd, F_DUPFD_CLOEXEC, 0)), 0);
        }
        write_down(named, step);
        if (next)
            write_down(next, step);
        moments[step] =
            (struct moment){.file = (unsigned)(named - files), .edits = step + 1, .stored = stored};
    }
    document_free(d);
    return lineage;
}

/* ---- what is left ---- */

/* A state that the page has had by then; one in `loss` is not the last. */
static const struct state *choose(const struct history *h, unsigned page, unsigned step,
                                  unsigned loss)
{
    unsigned count = 0;

    while (count < h->counts[page] && h->pages[page][count].step <= step)
        count++;
    if (count > 0 && roll(loss) == 0)
        count = roll(count + 1);
    return count > 0 ? &h->pages[page][count - 1] : NULL;
}

static int make_image(unsigned step)
{
    static const unsigned losses[] = {1, 2, 8, 64, 1000};
    unsigned loss = losses[roll(5)];
    unsigned file = moments[step].file;
    int fd = memfd_create("image", MFD_CLOEXEC);

    if (file > 0 && roll(4) == 0)
        file--; /* the rename is lost */
    for (unsigned i = 0; i < PAGES_MAX; i++) {
        const struct state *s = choose(&files[file], i, step, loss);
        if (s)
            cr_assert_eq(pwrite(fd, s->bytes, PAGE, (off_t)i * PAGE), PAGE);
    }
    return fd;
}

/* ---- the store, as snapshotd keeps it (store.h): parts, and how far it has each lineage ---- */

struct stored {
    struct crdt_doc *doc;
    uint64_t op_seq;
    uint64_t lineage; /* of the room as it is now; 0: it has nothing of that */
    uint64_t seq;
};

static void fill_store(struct stored *s, unsigned step, uint64_t lineage)
{
    struct buffer update = {0};

    *s = (struct stored){.doc = crdt_doc_new(NULL), .op_seq = moments[step].stored};
    s->lineage = lineage;
    s->seq = s->op_seq;
    for (unsigned n = 1; n <= s->op_seq; n++)
        apply_to(s->doc, 0, 0, update_of(&update, n));
    buffer_done(&update);
}

/* What snapshotd answers to STORE_OPEN. */
static void load(struct document *d, const struct stored *s)
{
    bool had_segment = document_has_segment(d);
    uint64_t opened_seq = document_last_seq(d);
    bool is_known = s->lineage == document_lineage(d) && s->seq > 0;
    uint64_t of_segment = is_known ? s->seq : 0;
    struct crdt_buf state = {0};

    if (!is_known && had_segment && document_stored_seq(d) <= s->op_seq)
        of_segment = document_stored_seq(d);
    bool is_ahead = had_segment ? s->op_seq > of_segment || of_segment > opened_seq : s->op_seq > 0;
    if (is_ahead) {
        cr_assert_eq(crdt_doc_encode(s->doc, CRDT_V1, NULL, 0, &state), 0);
        cr_assert_eq(document_merge_part(d, slice_of(state.data, state.len)), 0);
    }
    crdt_buf_done(&state);
    cr_assert_eq(document_loaded(d, opened_seq, had_segment ? of_segment : s->op_seq), 0);
    cr_assert_eq(document_append(d), 0);
    document_clear_batch(d);
}

/* What snapshotd's tail reads from the segment. */
static void store_tail(struct document *d, struct stored *s, uint64_t from)
{
    struct segment_record record;
    struct segment_view *v;
    uint64_t offset = 0;
    uint64_t last = from;
    int fd = document_dup_segment(d);
    int r;

    cr_assert_eq(segment_view_open(fd, &v), 0);
    if (segment_view_header(v)->base_seq > from) {
        cr_assert_eq(segment_view_checkpoint(v, &record.payload), 0);
        apply_to(s->doc, 0, 0, record.payload);
        last = segment_view_header(v)->base_seq;
    }
    while ((r = segment_view_next(v, &offset, &record)) > 0) {
        if (record.seq > last)
            apply_to(s->doc, 0, 0, record.payload);
    }
    cr_assert_eq(r, 0);
    segment_view_free(v);
    (void)document_set_stored(d, document_last_seq(d));
    cr_assert_eq(document_stored_seq(d), document_last_seq(d));
}

static void assert_has(const struct document *d, unsigned made, bool *ret_has)
{
    struct crdt_doc *doc = crdt_doc_new(NULL);

    cr_assert_eq(document_since(d, document_lineage(d) + 1, 0, apply_to, doc), 0);
    read_words(doc, made, ret_has);
    crdt_doc_free(doc);
}

/* With `is_late` the store answers only when the room has gone on from its segment for a while. */
static void recover(unsigned step, uint64_t lineage, bool is_late)
{
    static bool has[EDITS_MAX], has_stored[EDITS_MAX];
    unsigned made = STEPS;
    struct stored store;
    int fd = make_image(step);
    struct document *d = open_document(fd);
    bool had_segment = document_has_segment(d);

    fill_store(&store, step, lineage);
    cr_assert_neq(document_lineage(d), lineage);
    for (unsigned i = 0; had_segment && is_late && i < 40; i++)
        make_edit(d, ++made);
    load(d, &store);
    assert_has(d, made, has);
    for (unsigned n = 1; n <= made; n++) {
        if (n <= moments[step].stored || (n > STEPS && n <= made))
            cr_assert(has[n], "step %u: edit %u is lost", step, n);
        else
            cr_assert(!has[n] || n <= moments[step].edits, "step %u: edit %u", step, n);
    }
    make_edit(d, ++made);
    store_tail(d, &store, had_segment ? document_stored_seq(d) : store.op_seq);
    assert_has(d, made, has);
    read_words(store.doc, made, has_stored);
    cr_assert_eq(memcmp(has, has_stored, sizeof(has)), 0, "step %u: the store lacks an edit", step);
    crdt_doc_free(store.doc);
    document_free(d);
    (void)close(fd);
}

Test(document_power, whatever_is_stored_is_there_and_all_else_is_stored_anew, .timeout = 120)
{
    const char *text = getenv("SEED");
    unsigned seed = text ? (unsigned)strtoul(text, NULL, 10) : (unsigned)time(NULL);

    dice = seed ? seed : 1;
    (void)fprintf(stderr, "seed %u\n", seed);
    boot_pretend(&before);
    uint64_t lineage = work();
    cr_assert_gt(file_count, 1, "the segment was replaced");
    boot_pretend(&later);
    for (unsigned step = 0; step < STEPS; step++) {
        recover(step, lineage, false);
        recover(step, lineage, true);
    }
    for (unsigned f = 0; f < file_count; f++) {
        for (unsigned i = 0; i < PAGES_MAX; i++)
            free(files[f].pages[i]);
        (void)close(files[f].fd);
    }
}
