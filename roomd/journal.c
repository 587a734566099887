#include "roomd/journal.h"

#include <assert.h>

#define LOG_MIN                                                                                    \
    (256u << 10) /* bytes of log that are no reason to rewrite even an empty document              \
                  */
/* The same for a log that cannot grow: a new file would reserve so much for itself. */
#define STUCK_LOG_MIN (64u << 10)

struct journal {
    struct segment *segment;
    struct segment *next; /* NULL: it is not being replaced */
    bool is_stuck;        /* the file system had no space when it was last asked */
};

/* ---- life ---- */

static struct journal *new_journal(struct segment *segment)
{
    struct journal *j = xcalloc(1, sizeof(*j));

    j->segment = segment;
    return j;
}

int journal_open(int fd, segment_visit_fn visit, void *ctx, struct journal **ret_journal,
                 struct segment_contents *ret_contents)
{
    struct segment *segment;
    int r = segment_recover(fd, visit, ctx, &segment, ret_contents);

    if (r == 0)
        *ret_journal = new_journal(segment);
    return r;
}

int journal_create(int fd, const struct segment_start *start, struct journal **ret_journal)
{
    struct segment *segment;
    int r = segment_start(fd, start, &segment);

    if (r == 0)
        *ret_journal = new_journal(segment);
    return r;
}

void journal_free(struct journal *j)
{
    if (!j)
        return;
    segment_free(j->segment);
    segment_free(j->next);
    free(j);
}

struct segment_header *journal_header(const struct journal *j)
{
    return segment_header(j->segment);
}

int journal_view(const struct journal *j, struct segment_view **ret_view)
{
    return segment_view_open_own(j->segment, ret_view);
}

int journal_dup(const struct journal *j)
{
    return segment_dup(j->segment);
}

void journal_set_stored(struct journal *j, uint64_t seq)
{
    atomic_store(&segment_header(j->segment)->stored_seq, seq);
    if (j->next)
        atomic_store(&segment_header(j->next)->stored_seq, seq);
}

void journal_close(struct journal *j)
{
    atomic_fetch_or(&segment_header(j->segment)->flags, (uint32_t)SEGMENT_CLOSED);
    if (j->next)
        atomic_fetch_or(&segment_header(j->next)->flags, (uint32_t)SEGMENT_CLOSED);
}

/* ---- records ---- */

int journal_reserve(struct journal *j, size_t bytes)
{
    int r = segment_reserve(j->segment, bytes);

    if (r == 0 && j->next)
        r = segment_reserve(j->next, bytes);
    j->is_stuck = r < 0;
    return r;
}

int journal_write(struct journal *j, const struct segment_record *records, size_t count)
{
    int r = segment_write(j->segment, records, count);

    if (r == 0 && j->next)
        r = segment_write(j->next, records, count);
    return r;
}

/* The next one comes first: it may have the name already, and nobody may have read from the other
 * what is then not found in it. */
void journal_publish(struct journal *j)
{
    if (j->next)
        segment_publish(j->next);
    segment_publish(j->segment);
}

int journal_take_back(struct journal *j)
{
    int r = segment_take_back(j->segment);

    return r == 0 && j->next ? segment_take_back(j->next) : r;
}

/* ---- the next segment ---- */

bool journal_is_long(const struct journal *j)
{
    uint64_t log = segment_log_bytes(j->segment);
    uint64_t checkpoint = segment_header(j->segment)->checkpoint_len;

    if (j->is_stuck)
        return log > STUCK_LOG_MIN;
    return log > (checkpoint > LOG_MIN ? checkpoint : LOG_MIN);
}

/* Whoever finds the next one by its name finds the room's figures in it. */
static void copy_figures(const struct segment_header *from, struct segment_header *to)
{
    atomic_store(&to->stored_seq, atomic_load(&from->stored_seq));
    atomic_store(&to->updates, atomic_load(&from->updates));
    atomic_store(&to->structs, atomic_load(&from->structs));
    atomic_store(&to->pending_bytes, atomic_load(&from->pending_bytes));
    atomic_store(&to->last_activity_ms, atomic_load(&from->last_activity_ms));
    atomic_store(&to->started_ms, atomic_load(&from->started_ms));
    atomic_store(&to->pid, atomic_load(&from->pid));
    atomic_store(&to->clients, atomic_load(&from->clients));
}

int journal_begin_next(struct journal *j, int fd, struct slice checkpoint)
{
    const struct segment_header *h = segment_header(j->segment);
    struct segment_start start = {.tenant = slice_of(h->tenant, h->tenant_len),
                                  .room = slice_of(h->room, h->room_len),
                                  .lineage = h->lineage,
                                  .base_seq = atomic_load(&h->last_seq),
                                  .checkpoint = checkpoint};

    assert(!j->next);
    int r = segment_start(fd, &start, &j->next);
    if (r == 0)
        copy_figures(h, segment_header(j->next));
    return r;
}

bool journal_has_next(const struct journal *j)
{
    return j->next != NULL;
}

bool journal_was_renamed(const struct journal *j)
{
    return segment_is_nameless(j->segment);
}

void journal_take_next(struct journal *j)
{
    atomic_fetch_or(&segment_header(j->segment)->flags, (uint32_t)SEGMENT_SUPERSEDED);
    segment_free(j->segment);
    j->segment = TAKE_PTR(j->next);
    j->is_stuck = false;
}

void journal_drop_next(struct journal *j)
{
    segment_discard(TAKE_PTR(j->next));
}
