#include "gateway/joins.h"

#include "common/log.h"
#include "gateway/answer.h"
#include "gateway/conn.h"
#include "gateway/room_link.h"
#include "gateway/room_state.h"
#include "gateway/session.h"
#include "proto/refusal.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <sys/queue.h>

TAILQ_HEAD(session_queue, session);
LIST_HEAD(room_answers_list, room_answers);

/* One answer and what it answers. */
struct made {
    struct answer *answer; /* NULL: none */
    struct blob *question; /* the state vector */
};

struct room_answers {
    struct joins *joins;
    struct room_state *state;
    uint64_t turn;                     /* in which it was read last */
    uint64_t version;                  /* of the state, that the answers are made from */
    uint64_t used_ms;                  /* when it was used last */
    bool is_held;                      /* on the list of those that hold something */
    struct made whole[DIALECT_COUNT];  /* for clients that have nothing */
    struct made latest[DIALECT_COUNT]; /* for any other */
    struct made missed[DIALECT_COUNT]; /* for those that read too slowly */
    LIST_ENTRY(room_answers) entry;
};

struct joins {
    struct loop *loop;
    char *rooms_dir;
    struct session_queue asking;
    struct room_answers_list held;
    struct event *on_due;  /* somebody may be answered then */
    struct event *on_tick; /* something is held */
    uint64_t turn;
    uint64_t resume_ms;
    struct blob *nothing; /* the state vector of a client that has nothing */
    size_t held_bytes;    /* of blobs: documents and answers, here and in the queues of clients */
};

/* ---- what is held of a room ---- */

static void drop_made(struct made *m)
{
    answer_unref(TAKE_PTR(m->answer));
    blob_unref(TAKE_PTR(m->question));
}

static void drop_answers(struct room_answers *a)
{
    for (size_t i = 0; i < DIALECT_COUNT; i++) {
        drop_made(&a->whole[i]);
        drop_made(&a->latest[i]);
        drop_made(&a->missed[i]);
    }
}

static void drop_all(struct room_answers *a)
{
    drop_answers(a);
    room_state_forget(a->state);
    if (a->is_held)
        LIST_REMOVE(a, entry);
    a->is_held = false;
}

static void note_held(struct room_answers *a)
{
    struct joins *j = a->joins;

    a->used_ms = mono_now_ms();
    if (a->is_held)
        return;
    if (LIST_EMPTY(&j->held))
        timer_arm(j->on_tick, JOINS_KEPT_MS);
    LIST_INSERT_HEAD(&j->held, a, entry);
    a->is_held = true;
}

/* Drops what was not used since then. */
static void drop_unused(struct joins *j, uint64_t since_ms)
{
    struct room_answers *next;

    for (struct room_answers *a = LIST_FIRST(&j->held); a; a = next) {
        next = LIST_NEXT(a, entry);
        if (a->used_ms <= since_ms && a->turn != j->turn)
            drop_all(a);
    }
}

static void on_tick(evutil_socket_t fd, short what, void *ctx)
{
    struct joins *j = ctx;

    (void)fd;
    (void)what;
    drop_unused(j, mono_now_ms() - JOINS_KEPT_MS);
    if (!LIST_EMPTY(&j->held))
        timer_arm(j->on_tick, JOINS_KEPT_MS);
}

/* Is there memory for another document or answer? */
static bool has_room(struct joins *j)
{
    if (j->held_bytes > JOINS_HELD_MAX)
        drop_unused(j, UINT64_MAX);
    return j->held_bytes <= JOINS_HELD_MAX;
}

struct room_answers *room_answers_new(struct joins *j, struct slice tenant, struct slice room)
{
    struct room_answers *a = xcalloc(1, sizeof(*a));

    a->joins = j;
    a->state = room_state_new(j->rooms_dir, tenant, room, &j->held_bytes);
    return a;
}

void room_answers_free(struct room_answers *a)
{
    drop_all(a);
    room_state_free(a->state);
    free(a);
}

/* ---- one answer ---- */

/* Reads what the room has published, once a turn. */
static int refresh(struct room_answers *a)
{
    struct joins *j = a->joins;

    if (a->turn == j->turn && room_state_is_held(a->state))
        return 0;
    a->turn = j->turn;
    if (!has_room(j))
        return -ENOMEM;
    int r = room_state_refresh(a->state);
    if (r < 0) {
        struct slice room = room_state_room(a->state);
        log_warn("the segment of room %.*s cannot be read: %s", (int)room.len,
                 (const char *)room.data, strerror(-r));
        drop_all(a);
        return r;
    }
    note_held(a);
    if (room_state_version(a->state) != a->version)
        drop_answers(a);
    a->version = room_state_version(a->state);
    return 0;
}

static void count_answer(struct joins *j, struct answer *answer)
{
    for (uint32_t i = 0; i < answer->count; i++)
        if (!answer->parts[i].bytes->counter)
            blob_count(answer->parts[i].bytes, &j->held_bytes);
}

/* Makes the answer to a state vector, unless it was made already. */
static int make_answer(struct room_answers *a, struct blob *question,
                       int (*encode)(struct room_state *, struct slice, struct answer **),
                       struct made *m)
{
    if (m->answer && slice_equal(blob_slice(m->question), blob_slice(question)))
        return 0;
    drop_made(m);
    if (!has_room(a->joins))
        return -ENOMEM;
    int r = encode(a->state, blob_slice(question), &m->answer);
    if (r < 0)
        return r;
    count_answer(a->joins, m->answer);
    m->question = blob_ref(question);
    return 0;
}

/* The answer to a question, borrowed. What everybody asks is kept beside what one did. */
static int find_answer(struct room_answers *a, const struct dialect *dialect, struct blob *question,
                       bool is_difference, struct answer **ret)
{
    struct made *m = is_difference                                 ? &a->missed[dialect->kind]
                     : room_state_is_nothing(blob_slice(question)) ? &a->whole[dialect->kind]
                                                                   : &a->latest[dialect->kind];
    int r = make_answer(a, question,
                        is_difference ? dialect->encode_difference : dialect->encode_state, m);

    if (r == 0)
        *ret = m->answer;
    return r;
}

static uint32_t refusal_of(int error)
{
    return error == -E2BIG ? REFUSAL_OVER_LIMIT : REFUSAL_UNAVAILABLE;
}

/* Answers one question; returns how much work that was. */
static size_t answer(struct joins *j, struct session *s)
{
    struct room_answers *a = room_link_answers(s->link);
    bool is_difference;
    struct blob *asked = session_question(s, &is_difference);
    struct blob *question = blob_ref(asked ? asked : j->nothing);
    struct answer *found = NULL;

    joins_remove(j, s);
    int r = refresh(a);
    if (r == 0)
        r = find_answer(a, s->dialect, question, is_difference, &found);
    size_t work = room_state_take_work(a->state);
    s->next_answer_ms = mono_now_ms() + (work + (found ? found->len : 0)) / JOINS_CLIENT_RATE;
    if (r == 0)
        room_link_note_answer(s->link, room_state_seq(a->state));
    if (r == 0)
        session_handle_answer(s, found, room_state_seq(a->state), room_state_vector(a->state));
    else
        session_handle_no_answer(s, refusal_of(r));
    blob_unref(question);
    return work;
}

/* ---- all questions ---- */

static bool is_ready(const struct session *s, uint64_t now_ms)
{
    return now_ms >= s->next_answer_ms && conn_queued_bytes(s->conn) <= JOINS_UNREAD_MAX;
}

static void on_turn_end(void *ctx)
{
    struct joins *j = ctx;
    uint64_t now_ms = mono_now_ms();
    size_t work = 0;
    struct session *next;

    if (TAILQ_EMPTY(&j->asking))
        return;
    if (now_ms < j->resume_ms) {
        timer_arm(j->on_due, j->resume_ms - now_ms);
        return;
    }
    j->turn++;
    for (struct session *s = TAILQ_FIRST(&j->asking); s && work < JOINS_TURN_BYTES; s = next) {
        next = TAILQ_NEXT(s, asking_entry); /* an answer may end this session, and no other */
        if (is_ready(s, now_ms))
            work += answer(j, s);
    }
    j->resume_ms = mono_now_ms() + work / JOINS_WORK_RATE;
    if (!TAILQ_EMPTY(&j->asking))
        timer_arm(j->on_due, JOINS_LOOK_MS);
}

static void on_due(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    (void)ctx; /* the turn that this wakes does the work at its end */
}

void joins_add(struct joins *j, struct session *s)
{
    if (s->is_asking)
        return;
    s->is_asking = true;
    if (TAILQ_EMPTY(&j->asking)) /* at the end of a turn, the questions of this one were answered */
        event_active(j->on_due, 0, 0);
    TAILQ_INSERT_TAIL(&j->asking, s, asking_entry);
}

void joins_remove(struct joins *j, struct session *s)
{
    if (s->is_asking)
        TAILQ_REMOVE(&j->asking, s, asking_entry);
    s->is_asking = false;
}

/* ---- life ---- */

struct joins *joins_new(struct loop *loop, const char *rooms_dir)
{
    struct joins *j = xcalloc(1, sizeof(*j));

    j->loop = loop;
    j->rooms_dir = xstrdup(rooms_dir);
    j->nothing = blob_copy(slice_of("", 1)); /* zero clients */
    TAILQ_INIT(&j->asking);
    LIST_INIT(&j->held);
    j->on_due = event_new(loop_base(loop), -1, 0, on_due, j);
    j->on_tick = event_new(loop_base(loop), -1, 0, on_tick, j);
    if (!j->on_due || !j->on_tick)
        log_panic("a timer cannot be made");
    loop_add_turn_hook(loop, on_turn_end, j);
    return j;
}

static void release(void *ctx)
{
    struct joins *j = ctx;

    blob_unref(j->nothing);
    free(j->rooms_dir);
    free(j);
}

void joins_free(struct joins *j)
{
    event_free(TAKE_PTR(j->on_due));
    event_free(TAKE_PTR(j->on_tick));
    loop_reap(j->loop, release, j);
}
