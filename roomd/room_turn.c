#include "roomd/room_internal.h"

#include <errno.h>
#include <event2/event.h>

#define STATS_MS     250u  /* between two looks at the document's statistics, at least */
#define IDLE_GAP_MS  100u  /* between two ROOM_IDLE, at least */
#define ANSWERS_KEPT 4096u /* the list is given back when it was longer */

/* ---- the batch ---- */

void room_answer(struct room *room, const struct answer *answer)
{
    if (room->answer_count == room->answer_cap) {
        room->answer_cap = room->answer_cap ? 2 * room->answer_cap : 64;
        room->answers = xrealloc(room->answers, room->answer_cap * sizeof(*room->answers));
    }
    room->answers[room->answer_count++] = *answer;
}

enum refusal room_refusal(int error, enum refusal if_malformed)
{
    switch (error) {
    case -EBADMSG:
        return if_malformed;
    case -E2BIG:
        return REFUSAL_OVER_LIMIT;
    case -EDQUOT:
        return REFUSAL_TOO_MANY;
    case -ENOSPC:
        return REFUSAL_STORAGE_FULL;
    default:
        return REFUSAL_UNAVAILABLE;
    }
}

static void send_answer(const struct answer *a)
{
    if (a->refusal) {
        struct msg_room_rejected m = {.session = a->session, .op = a->op, .refusal = a->refusal};
        link_send(a->link, proto_encode_room_rejected(&m));
    } else {
        struct msg_room_applied m = {.session = a->session, .op = a->op, .seq = a->seq};
        link_send(a->link, proto_encode_room_applied(&m));
    }
}

static void send_answers(struct room *room)
{
    for (size_t i = 0; i < room->answer_count; i++) {
        if (room->answers[i].link)
            send_answer(&room->answers[i]);
    }
    room->answer_count = 0;
    if (room->answer_cap > ANSWERS_KEPT) {
        free(room->answers);
        room->answers = NULL;
        room->answer_cap = 0;
    }
}

/* The document holds what the segment does not, and nobody has heard of it. It is made anew from
 * the segment, and who sent what is lost by that is refused. */
static void roll_back(struct room *room, int error)
{
    log_error("the segment cannot be written: %s; what came last is refused", strerror(-error));
    int r = document_roll_back(room->document);
    if (r < 0) /* another process may read what this one cannot */
        log_fatal("the segment cannot be read: %s", strerror(-r));
    uint64_t last_seq = document_last_seq(room->document);
    for (size_t i = 0; i < room->answer_count; i++) {
        if (room->answers[i].refusal == 0 && room->answers[i].seq > last_seq)
            room->answers[i].refusal = REFUSAL_STORAGE_FULL;
    }
    links_send_views(room);
    send_answers(room);
    if (room->store.ipc)
        store_link_detach(room);
}

/* Returns whether there is a change that cannot be told as such. */
static bool broadcast(struct room *room, const struct edit *edits, size_t count)
{
    bool is_unseen = false;

    for (size_t i = 0; i < count; i++)
        is_unseen |= edits[i].is_unseen;
    for (size_t i = 0; i < count; i++) {
        links_broadcast_edit(room, &edits[i]);
        if (edits[i].change && !is_unseen)
            links_broadcast_change(room, &edits[i]);
    }
    return is_unseen;
}

void room_flush(struct room *room)
{
    const struct edit *edits;
    size_t count = document_batch(room->document, &edits);
    int r = document_append(room->document);

    if (r < 0) {
        roll_back(room, r);
        return;
    }
    bool is_unseen = broadcast(room, edits, count);
    room->updates += count;
    document_clear_batch(room->document);
    if (is_unseen)
        links_send_views(room);
    send_answers(room);
    store_link_announce(room);
}

/* ---- the rest of a turn ---- */

static void send_change(void *ctx, uint64_t except, struct slice update)
{
    struct msg_room_awareness m = {.except = except, .awareness = update};
    struct blob *frame = proto_encode_room_awareness(&m);

    links_broadcast(ctx, frame);
    blob_unref(frame);
}

static void send_stored(struct room *room)
{
    struct msg_room_stored m = {.stored_seq = document_stored_seq(room->document)};

    if (!room->has_stored_news)
        return;
    room->has_stored_news = false;
    struct blob *frame = proto_encode_room_stored(&m);
    links_broadcast(room, frame);
    blob_unref(frame);
}

/* Returns in how many milliseconds there will be newer figures, 0: none. */
static uint64_t publish_figures(struct room *room, uint64_t now_ms)
{
    struct segment_header *h = document_header(room->document);
    const struct crdt_stats *stats = document_stats(room->document);
    uint64_t wait_ms = 0;

    if (!h)
        return 0;
    if (document_has_new_stats(room->document)) {
        if (now_ms >= room->stats_ms + STATS_MS) {
            document_take_stats(room->document);
            room->stats_ms = now_ms;
        } else {
            wait_ms = room->stats_ms + STATS_MS - now_ms;
        }
    }
    atomic_store_explicit(&h->clients, session_count(&room->sessions), memory_order_relaxed);
    atomic_store_explicit(&h->updates, room->updates, memory_order_relaxed);
    atomic_store_explicit(&h->structs, stats->structs, memory_order_relaxed);
    atomic_store_explicit(&h->pending_bytes, stats->pending_bytes, memory_order_relaxed);
    atomic_store_explicit(&h->last_activity_ms, room->activity_ms, memory_order_relaxed);
    return wait_ms;
}

/* Says that the room is idle when it is. Returns in how many milliseconds to look again, 0: when
 * something comes. */
static uint64_t check_idle(struct room *room, uint64_t now_ms)
{
    uint64_t due_ms = room->unused_since_ms + room->idle_ms;

    if (!room->control || room->state != ROOM_READY || !TAILQ_EMPTY(&room->links) ||
        document_stored_seq(room->document) != document_last_seq(room->document))
        return 0;
    due_ms = due_ms > room->next_idle_ms ? due_ms : room->next_idle_ms;
    if (now_ms < due_ms)
        return due_ms - now_ms;
    uint64_t gap_ms = room->idle_ms > IDLE_GAP_MS ? room->idle_ms : IDLE_GAP_MS;
    struct msg_room_idle m = {.links = room->links_received};
    ipc_send_new(room->control, proto_encode_room_idle(&m));
    room->next_idle_ms = now_ms + gap_ms;
    return gap_ms;
}

/* The earlier of two waits, 0 meaning none. */
static uint64_t earlier(uint64_t a_ms, uint64_t b_ms)
{
    if (a_ms == 0 || b_ms == 0)
        return a_ms + b_ms;
    return a_ms < b_ms ? a_ms : b_ms;
}

static void wake_in(struct room *room, uint64_t ms)
{
    struct timeval delay = {.tv_sec = (time_t)(ms / 1000),
                            .tv_usec = (suseconds_t)(ms % 1000 * 1000)};

    if (ms == 0)
        (void)event_del(room->wake);
    else
        (void)event_add(room->wake, &delay);
}

void room_end_turn(void *ctx)
{
    struct room *room = ctx;
    uint64_t now_ms = mono_now_ms();

    room_flush(room);
    /* Closing a link changes who is present. */
    links_check_queues(room);
    uint64_t wake_ms = awareness_sweep(room->awareness, now_ms);
    wake_ms = earlier(wake_ms, awareness_take_changes(room->awareness, now_ms, send_change, room));
    send_stored(room);
    wake_ms = earlier(wake_ms, room_check_load(room, now_ms));
    wake_ms = earlier(wake_ms, publish_figures(room, now_ms));
    wake_ms = earlier(wake_ms, check_idle(room, now_ms));
    wake_ms = earlier(wake_ms, orphan_check(room, now_ms));
    wake_ms = earlier(wake_ms, replacement_check(room, now_ms));
    wake_in(room, wake_ms);
}
