#include "snapshotd/batch.h"

#include "common/buffer.h"

#define KEEP_BYTES ((size_t)1 << 20)

struct batch {
    struct buffer bytes; /* all payloads, back to back */
    struct store_update *updates;
    size_t count;
    size_t cap;
    struct store_append *rooms; /* each is a run of `updates` */
    void **owners;
    size_t room_count;
    size_t room_cap;
};

struct batch *batch_new(void)
{
    return xcalloc(1, sizeof(struct batch));
}

void batch_free(struct batch *b)
{
    if (!b)
        return;
    buffer_done(&b->bytes);
    free(b->updates);
    free(b->rooms);
    free(b->owners);
    free(b);
}

void batch_clear(struct batch *b)
{
    b->bytes.len = 0;
    b->count = 0;
    b->room_count = 0;
    if (b->bytes.cap > KEEP_BYTES)
        buffer_done(&b->bytes);
}

static void add_update(struct batch *b, const struct segment_record *record)
{
    if (b->count == b->cap) {
        b->cap = b->cap ? b->cap * 2 : 256;
        b->updates = xrealloc(b->updates, b->cap * sizeof(b->updates[0]));
    }
    /* Where the payload lies is known when the buffer no longer grows: see batch_rooms(). */
    b->updates[b->count++] =
        (struct store_update){.seq = record->seq, .payload = slice_of(NULL, record->payload.len)};
    buffer_append(&b->bytes, record->payload.data, record->payload.len);
}

static void add_room(struct batch *b, struct store_key key, uint64_t lineage, size_t records,
                     void *owner)
{
    if (b->room_count == b->room_cap) {
        b->room_cap = b->room_cap ? b->room_cap * 2 : 64;
        b->rooms = xrealloc(b->rooms, b->room_cap * sizeof(b->rooms[0]));
        b->owners = xrealloc(b->owners, b->room_cap * sizeof(b->owners[0]));
    }
    b->rooms[b->room_count] =
        (struct store_append){.key = key, .lineage = lineage, .count = records};
    b->owners[b->room_count] = owner;
    b->room_count++;
}

int batch_take(struct batch *b, struct tail *tail, struct store_key key, uint64_t lineage,
               void *owner)
{
    size_t before = b->count;
    int r = 1;

    while (b->count < BATCH_RECORDS_MAX && b->bytes.len < BATCH_BYTES_MAX) {
        struct segment_record record;
        r = tail_next(tail, &record);
        if (r <= 0)
            break;
        add_update(b, &record);
    }
    if (b->count > before)
        add_room(b, key, lineage, b->count - before, owner);
    return r;
}

size_t batch_room_count(const struct batch *b)
{
    return b->room_count;
}

const struct store_append *batch_rooms(struct batch *b)
{
    const uint8_t *data = b->bytes.data;
    const struct store_update *updates = b->updates;

    for (size_t i = 0; i < b->count; i++) {
        b->updates[i].payload.data = data;
        data += b->updates[i].payload.len;
    }
    for (size_t i = 0; i < b->room_count; i++) {
        b->rooms[i].updates = updates;
        updates += b->rooms[i].count;
    }
    return b->rooms;
}

void batch_each(struct batch *b, void (*fn)(void *owner, uint64_t last_seq, uint64_t records))
{
    size_t end = 0;

    for (size_t i = 0; i < b->room_count; i++) {
        end += b->rooms[i].count;
        fn(b->owners[i], b->updates[end - 1].seq, b->rooms[i].count);
    }
}
