#include "snapshotd/tail.h"

#include <errno.h>

/* At files and at their ends in one call. A room supersedes its segment rarely; one that needs more
 * claims it of the file that has the name, and the next call goes on. */
#define LOOKS_MAX 8

struct tail {
    const char *rooms_dir;
    struct store_key key;
    struct segment_view *view; /* NULL until the file is there */
    uint64_t offset;           /* in the view */
    uint64_t seq;              /* everything up to it was given */
};

struct tail *tail_new(const char *rooms_dir, struct store_key key, uint64_t seq)
{
    struct tail *t = xcalloc(1, sizeof(*t));

    t->rooms_dir = rooms_dir;
    t->key = key;
    t->seq = seq;
    return t;
}

static void close_view(struct tail *t)
{
    if (t->view)
        segment_view_free(t->view);
    t->view = NULL;
    t->offset = 0;
}

void tail_free(struct tail *t)
{
    if (!t)
        return;
    close_view(t);
    free(t);
}

/* Opens the file. 1 if its checkpoint is news, which `*ret` then is; 0 if not. */
static int open_view(struct tail *t, struct segment_record *ret)
{
    struct segment_record checkpoint = {.kind = SEGMENT_UPDATE_V1};
    int r = segment_view_open_room(t->rooms_dir, t->key.tenant, t->key.room, &t->view);

    if (r < 0)
        return r;
    checkpoint.seq = segment_view_header(t->view)->base_seq;
    if (checkpoint.seq <= t->seq)
        return 0;
    r = checkpoint.seq > INT64_MAX ? -EBADMSG : 0;
    if (r == 0)
        r = segment_view_checkpoint(t->view, &checkpoint.payload);
    if (r < 0) {
        close_view(t); /* else what it holds would count as given */
        return r;
    }
    t->seq = checkpoint.seq;
    *ret = checkpoint;
    return 1;
}

/* The next record of the open file that was not given yet. */
static int next_in_view(struct tail *t, struct segment_record *ret)
{
    struct segment_record record;
    int r;

    do {
        r = segment_view_next(t->view, &t->offset, &record);
    } while (r > 0 && record.seq <= t->seq);
    if (r <= 0)
        return r;
    if (record.kind != SEGMENT_UPDATE_V1 || record.seq > INT64_MAX)
        return -EBADMSG;
    t->seq = record.seq;
    *ret = record;
    return 1;
}

static bool is_superseded(const struct tail *t)
{
    return atomic_load(&segment_view_header(t->view)->flags) & SEGMENT_SUPERSEDED;
}

int tail_next(struct tail *t, struct segment_record *ret)
{
    for (int i = 0; i < LOOKS_MAX; i++) {
        if (!t->view) {
            int r = open_view(t, ret);
            if (r != 0)
                return r;
        }
        /* The room marks the file when it has published the last record in it: only a mark that was
         * seen before the end was means that nothing more comes. */
        bool was_superseded = is_superseded(t);
        int r = next_in_view(t, ret);
        if (r != 0 || !is_superseded(t))
            return r;
        if (was_superseded)
            close_view(t);
    }
    return 0;
}
