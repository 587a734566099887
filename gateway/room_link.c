#include "gateway/room_link.h"

#include "common/ack_level.h"
#include "common/config.h"
#include "common/ipc.h"
#include "common/log.h"
#include "gateway/auth.h"
#include "gateway/joins.h"
#include "gateway/roomd_client.h"
#include "gateway/session.h"
#include "proto/lens.h"
#include "proto/proto.h"
#include "proto/refusal.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <sys/queue.h>
#include <sys/random.h>

#define ROOM_KEY_MAX (2 * PROTO_NAME_MAX + 1) /* tenant, NUL, room */

enum room_link_state {
    ROOM_LINK_OPENING,
    ROOM_LINK_OPEN,
    ROOM_LINK_LOST,
    ROOM_LINK_GONE,
};

LIST_HEAD(session_list, session);

struct room_link {
    struct room_links *links;
    enum room_link_state state;
    uint32_t request;    /* the latest to roomd */
    uint32_t losses;     /* in a row */
    struct event *timer; /* OPENING: it takes too long; LOST: time to ask again */
    struct ipc *ipc;     /* OPEN */
    uint64_t open_ms;    /* since when it is OPEN */
    bool is_subscribed;
    bool has_seen;
    uint64_t lineage;  /* whose numbers these are; 0: not known yet */
    uint64_t seen_seq; /* up to this every client of ours has everything */
    uint64_t stored_seq;
    enum ack_level ack_level;
    struct room_answers *answers;
    struct session_list sessions;
    struct session_list unstored; /* those of them that wait for a stored sequence */
    UT_hash_handle by_request;
    UT_hash_handle by_name;
    size_t tenant_len;
    size_t name_len; /* of all: tenant, NUL, room */
    uint8_t name[];
};

struct room_links {
    struct loop *loop;
    const struct config *config;
    struct auth *auth;
    struct roomd_client *roomd;
    struct joins *joins;
    loop_fn on_ready; /* NULL once called */
    void *ctx;
    struct room_link *by_request;
    struct room_link *by_name;
    struct session *sessions; /* by number */
    uint32_t next_request;
    uint32_t next_session;
    size_t leaving_bytes;
    size_t kept_bytes;
};

static const char *const state_names[] = {"opening", "open", "lost", "gone"};

/* Bit n of the entry of a state: it may go over to state n. */
static const unsigned may_follow[] = {
    [ROOM_LINK_OPENING] = 1u << ROOM_LINK_OPEN | 1u << ROOM_LINK_GONE,
    [ROOM_LINK_OPEN] = 1u << ROOM_LINK_LOST | 1u << ROOM_LINK_GONE,
    [ROOM_LINK_LOST] = 1u << ROOM_LINK_OPENING | 1u << ROOM_LINK_GONE,
    [ROOM_LINK_GONE] = 0,
};

/* ---- states ---- */

static struct slice tenant_of(const struct room_link *link)
{
    return slice_of(link->name, link->tenant_len);
}

static struct slice room_of(const struct room_link *link)
{
    return slice_of(link->name + link->tenant_len + 1, link->name_len - link->tenant_len - 1);
}

static void arm_timer(struct room_link *link, uint32_t ms)
{
    struct timeval after = {ms / 1000, (suseconds_t)(ms % 1000) * 1000};

    if (event_add(link->timer, &after) < 0)
        log_panic("a timer cannot be set");
}

static uint32_t retry_pause_ms(uint32_t losses)
{
    if (losses <= 1)
        return 0;
    uint32_t ms = losses - 2 < 16 ? ROOM_RETRY_MS << (losses - 2) : ROOM_RETRY_MAX_MS;
    return ms < ROOM_RETRY_MAX_MS ? ms : ROOM_RETRY_MAX_MS;
}

static void forget_request(struct room_link *link)
{
    if (link->request == 0)
        return;
    HASH_DELETE(by_request, link->links->by_request, link);
    link->request = 0;
}

/* Asks roomd, now or when the connection to it stands. */
static void request_room(struct room_link *link)
{
    struct room_links *links = link->links;

    forget_request(link);
    if (!roomd_client_is_up(links->roomd))
        return;
    do {
        link->request = ++links->next_request;
    } while (link->request == 0);
    HASH_ADD(by_request, links->by_request, request, sizeof(link->request), link);
    roomd_client_open(links->roomd, link->request, tenant_of(link), room_of(link));
}

static void release(void *ctx)
{
    struct room_link *link = ctx;

    event_free(link->timer);
    room_answers_free(link->answers);
    free(link);
}

static void set_state(struct room_link *link, enum room_link_state state)
{
    struct room_links *links = link->links;

    assert(may_follow[link->state] & 1u << state);
    log_debug("room %.*s: %s to %s", (int)room_of(link).len, (const char *)room_of(link).data,
              state_names[link->state], state_names[state]);
    link->state = state;
    (void)event_del(link->timer);
    switch (state) {
    case ROOM_LINK_OPENING:
        arm_timer(link, ROOM_OPEN_MS);
        request_room(link);
        break;
    case ROOM_LINK_OPEN:
        forget_request(link);
        link->open_ms = mono_now_ms();
        break;
    case ROOM_LINK_LOST:
        ipc_close(TAKE_PTR(link->ipc));
        arm_timer(link, retry_pause_ms(link->losses));
        break;
    case ROOM_LINK_GONE:
        forget_request(link);
        ipc_close(TAKE_PTR(link->ipc));
        HASH_DELETE(by_name, links->by_name, link);
        loop_reap(links->loop, release, link);
        break;
    }
}

/* Closes every session. Each is taken off the link first, so that none of them ends it. */
static void refuse(struct room_link *link, uint32_t refusal)
{
    struct session *s;

    log_info("room %.*s is refused: %s", (int)room_of(link).len, (const char *)room_of(link).data,
             refusal_info(refusal)->name);
    set_state(link, ROOM_LINK_GONE);
    while ((s = LIST_FIRST(&link->sessions))) {
        LIST_REMOVE(s, entry);
        if (s->is_in_unstored)
            LIST_REMOVE(s, unstored_entry);
        s->is_in_unstored = false;
        s->link = NULL;
        session_handle_refused(s, refusal);
    }
}

static void lose(struct room_link *link, const char *why)
{
    if (link->state != ROOM_LINK_OPEN)
        return;
    bool was_steady = mono_now_ms() >= link->open_ms + ROOM_STEADY_MS;
    link->losses = was_steady ? 1 : link->losses + 1;
    log_warn("room %.*s is lost (%s) and asked for again", (int)room_of(link).len,
             (const char *)room_of(link).data, why);
    set_state(link, ROOM_LINK_LOST);
    if (link->losses > ROOM_LOSSES_MAX)
        refuse(link, REFUSAL_UNAVAILABLE);
}

static void on_timer(evutil_socket_t fd, short what, void *ctx)
{
    struct room_link *link = ctx;

    (void)fd;
    (void)what;
    switch (link->state) {
    case ROOM_LINK_OPENING:
        refuse(link, REFUSAL_UNAVAILABLE);
        break;
    case ROOM_LINK_LOST:
        set_state(link, ROOM_LINK_OPENING);
        break;
    case ROOM_LINK_OPEN:
    case ROOM_LINK_GONE:
        break;
    }
}

/* ---- messages of the room ---- */

/* The session that the room means, if it is on this link. */
static struct session *find_session(struct room_link *link, uint64_t id)
{
    struct session *s;

    HASH_FIND(hh, link->links->sessions, &id, sizeof(id), s);
    return s && s->link == link ? s : NULL;
}

static void note_seen(struct room_link *link, uint64_t seq)
{
    link->has_seen = true;
    if (seq > link->seen_seq)
        link->seen_seq = seq;
}

/* An update without an author is the whole document, and everybody's edits are in it. */
static int handle_update(struct room_link *link, const struct msg_room_update *m)
{
    struct blob *frames[DIALECT_COUNT] = {0};
    struct session *next;

    note_seen(link, m->seq);
    for (struct session *s = LIST_FIRST(&link->sessions); s; s = next) {
        next = LIST_NEXT(s, entry); /* sending may end this session, and no other */
        struct blob **frame = &frames[s->dialect->kind];
        if (s->state != SESSION_LIVE || s->id == m->session || s->dialect->lens != LENS_NONE)
            continue;
        if (m->session == 0 && session_would_believe(s, m->seq)) {
            session_await_whole(s, m->seq);
            continue;
        }
        if (!*frame)
            *frame = s->dialect->encode_update(m);
        if (*frame)
            session_send_shared(s, *frame);
        else
            session_close(s, REFUSAL_UNAVAILABLE); /* it comes back and asks what it lacks */
    }
    for (size_t i = 0; i < DIALECT_COUNT; i++)
        blob_unref(frames[i]);
    return 0;
}

static int handle_awareness(struct room_link *link, const struct msg_room_awareness *m)
{
    struct blob *frames[DIALECT_COUNT] = {0};
    bool is_made[DIALECT_COUNT] = {0};
    struct session *only = m->only ? find_session(link, m->only) : NULL;
    struct session *next;

    if (m->only && !only)
        return 0;
    for (struct session *s = only ? only : LIST_FIRST(&link->sessions); s; s = next) {
        next = only ? NULL : LIST_NEXT(s, entry);
        enum dialect_kind kind = s->dialect->kind;
        if (!s->conn || (m->except && s->id == m->except))
            continue;
        if (!is_made[kind])
            frames[kind] = s->dialect->encode_awareness(m->awareness);
        is_made[kind] = true;
        if (frames[kind] && s->state != SESSION_BEHIND)
            session_send_shared(s, frames[kind]);
    }
    for (size_t i = 0; i < DIALECT_COUNT; i++)
        blob_unref(frames[i]);
    return 0;
}

static int handle_change(struct room_link *link, const struct msg_room_change *m)
{
    struct blob *frames[DIALECT_COUNT] = {0};
    struct session *next;

    if (m->lens == LENS_NONE || m->lens >= LENS_COUNT)
        return -EBADMSG;
    for (struct session *s = LIST_FIRST(&link->sessions); s; s = next) {
        next = LIST_NEXT(s, entry);
        struct blob **frame = &frames[s->dialect->kind];
        if (s->state != SESSION_LIVE || s->dialect->lens != m->lens)
            continue;
        if (!*frame)
            *frame = s->dialect->encode_change(m);
        if (*frame)
            session_send_shared(s, *frame);
        else
            session_close(s, REFUSAL_UNAVAILABLE);
    }
    for (size_t i = 0; i < DIALECT_COUNT; i++)
        blob_unref(frames[i]);
    return 0;
}

static int handle_view(struct room_link *link, const struct msg_room_view *m)
{
    struct session *s = find_session(link, m->session);

    if (s && s->dialect->lens != LENS_NONE)
        session_handle_view(s, m);
    return 0;
}

static int handle_applied(struct room_link *link, const struct msg_room_applied *m)
{
    struct session *s = find_session(link, m->session);

    if (s)
        session_handle_applied(s, m->op, m->seq);
    return 0;
}

static int handle_rejected(struct room_link *link, const struct msg_room_rejected *m)
{
    struct session *s = find_session(link, m->session);

    if (s)
        session_handle_rejected(s, m->op, m->refusal);
    return 0;
}

/* The room broadcasts to us what it appends from now on. */
static void subscribe(struct room_link *link)
{
    struct session *s;

    if (link->is_subscribed)
        return;
    link->is_subscribed = true;
    LIST_FOREACH (s, &link->sessions, entry)
        session_handle_subscribed(s);
}

static int handle_stored(struct room_link *link, const struct msg_room_stored *m)
{
    struct session *next;

    if (m->stored_seq <= link->stored_seq)
        return 0;
    link->stored_seq = m->stored_seq;
    for (struct session *s = LIST_FIRST(&link->unstored); s; s = next) {
        next = LIST_NEXT(s, unstored_entry); /* only this one can end or leave the list */
        session_handle_stored(s, link->stored_seq);
        if (s->is_in_unstored && !session_waits_for_store(s)) {
            LIST_REMOVE(s, unstored_entry);
            s->is_in_unstored = false;
        }
    }
    return 0;
}

/* In another lineage the room began anew without its segment: our clients may hold edits that it
 * has lost, and the numbers that we know are no longer its. Only a client that comes back says what
 * it has, so all of them are sent away. */
static int handle_welcome(struct room_link *link, const struct msg_link_welcome *m)
{
    struct msg_room_stored stored = {.stored_seq = m->stored_seq};

    if (link->lineage != 0 && m->lineage != link->lineage) {
        refuse(link, REFUSAL_UNAVAILABLE);
        return 0;
    }
    link->lineage = m->lineage;
    subscribe(link);
    return handle_stored(link, &stored);
}

PROTO_ROUTE_FN(link_welcome, struct room_link, handle_welcome)
PROTO_ROUTE_FN(room_update, struct room_link, handle_update)
PROTO_ROUTE_FN(room_awareness, struct room_link, handle_awareness)
PROTO_ROUTE_FN(room_applied, struct room_link, handle_applied)
PROTO_ROUTE_FN(room_rejected, struct room_link, handle_rejected)
PROTO_ROUTE_FN(room_stored, struct room_link, handle_stored)
PROTO_ROUTE_FN(room_change, struct room_link, handle_change)
PROTO_ROUTE_FN(room_view, struct room_link, handle_view)

static const struct proto_route routes[] = {
    PROTO_ROUTE(room_update, ROOM_UPDATE),   PROTO_ROUTE(room_awareness, ROOM_AWARENESS),
    PROTO_ROUTE(room_applied, ROOM_APPLIED), PROTO_ROUTE(room_rejected, ROOM_REJECTED),
    PROTO_ROUTE(room_stored, ROOM_STORED),   PROTO_ROUTE(link_welcome, LINK_WELCOME),
    PROTO_ROUTE(room_change, ROOM_CHANGE),   PROTO_ROUTE(room_view, ROOM_VIEW),
};

static void on_frame(void *ctx, struct slice body)
{
    struct room_link *link = ctx;

    if (proto_dispatch(routes, sizeof(routes) / sizeof(routes[0]), link, body) < 0)
        lose(link, "it sent a message that makes no sense");
}

static void on_end(void *ctx, int error)
{
    lose(ctx, error == -EBADMSG ? "it broke the framing" : "it ended");
}

static const struct ipc_handler ipc_handler = {.on_frame = on_frame, .on_end = on_end};

/* ---- answers of roomd ---- */

static struct room_link *find_request(struct room_links *links, uint32_t request)
{
    struct room_link *link;

    HASH_FIND(by_request, links->by_request, &request, sizeof(request), link);
    return link;
}

static void on_opened(void *ctx, uint32_t request, int fd)
{
    struct room_links *links = ctx;
    struct room_link *link = find_request(links, request);
    struct session *s;

    if (!link) { /* its last client left meanwhile */
        (void)close(fd);
        return;
    }
    struct msg_link_open m = {
        .has_seen = link->has_seen, .seen_seq = link->seen_seq, .lineage = link->lineage};
    link->ipc = ipc_new(links->loop, fd, &ipc_handler, link);
    set_state(link, ROOM_LINK_OPEN);
    ipc_send_new(link->ipc, proto_encode_link_open(&m));
    LIST_FOREACH (s, &link->sessions, entry)
        session_rejoin(s);
}

static void on_refused(void *ctx, uint32_t request, uint32_t refusal)
{
    struct room_link *link = find_request(ctx, request);

    if (link)
        refuse(link, refusal);
}

/* ---- what users may no longer do ---- */

/* An existing link to the room, or NULL. */
static struct room_link *find_link(struct room_links *links, struct slice tenant, struct slice room,
                                   uint8_t key[ROOM_KEY_MAX], size_t *ret_key_len)
{
    struct room_link *link;

    assert(tenant.len <= PROTO_NAME_MAX && room.len <= PROTO_NAME_MAX);
    memcpy(key, tenant.data, tenant.len);
    key[tenant.len] = 0;
    memcpy(key + tenant.len + 1, room.data, room.len);
    *ret_key_len = tenant.len + 1 + room.len;
    HASH_FIND(by_name, links->by_name, key, *ret_key_len, link);
    return link;
}

/* Those of the user's sessions whose tokens are old enough; they may end. */
static void cap_sessions(struct room_links *links, const struct access_cap *cap)
{
    uint8_t key[ROOM_KEY_MAX];
    size_t len;
    struct room_link *link = find_link(links, cap->tenant, cap->room, key, &len);
    struct session *next;

    for (struct session *s = link ? LIST_FIRST(&link->sessions) : NULL; s; s = next) {
        next = LIST_NEXT(s, entry);
        if (s->conn && slice_equal(slice_str(s->principal->subject), cap->user))
            session_set_access(s, auth_access(links->auth, s->principal, room_of(link)));
    }
}

static void on_access_cap(void *ctx, const struct access_cap *cap)
{
    struct room_links *links = ctx;

    if (auth_add_cap(links->auth, cap) < 0)
        log_error("there are too many revocations: one does not outlive its sessions");
    cap_sessions(links, cap);
}

int room_links_cap_access(struct room_links *links, const struct access_cap *cap)
{
    int r = auth_add_cap(links->auth, cap);

    if (r < 0)
        return r;
    roomd_client_cap(links->roomd, cap);
    cap_sessions(links, cap);
    return roomd_client_is_up(links->roomd) ? 0 : -ENOTCONN;
}

static void tell_roomd(void *ctx, const struct access_cap *cap)
{
    struct room_links *links = ctx;

    roomd_client_cap(links->roomd, cap);
}

/* ---- roomd comes and goes ---- */

static void on_up(void *ctx)
{
    struct room_links *links = ctx;
    loop_fn on_ready = TAKE_PTR(links->on_ready);

    access_caps_each(auth_caps(links->auth), tell_roomd, links);
    for (struct room_link *link = links->by_name; link; link = link->by_name.next)
        if (link->state == ROOM_LINK_OPENING)
            request_room(link);
    if (on_ready)
        on_ready(links->ctx);
}

static const struct roomd_handler roomd_handler = {
    .on_up = on_up,
    .on_opened = on_opened,
    .on_refused = on_refused,
    .on_access_cap = on_access_cap,
};

/* ---- sessions ---- */

void room_links_add_session(struct room_links *links, struct session *s)
{
    do {
        links->next_session++;
    } while (links->next_session == 0);
    s->id = (uint64_t)getpid() << 32 | links->next_session;
    HASH_ADD(hh, links->sessions, id, sizeof(s->id), s);
}

void room_links_remove_session(struct room_links *links, struct session *s)
{
    HASH_DELETE(hh, links->sessions, s);
}

bool room_links_count_leaving(struct room_links *links, ssize_t bytes)
{
    if (bytes > 0 && links->leaving_bytes + (size_t)bytes > ROOM_LEAVING_MAX)
        return false;
    links->leaving_bytes += (size_t)bytes;
    return true;
}

bool room_links_count_kept(struct room_links *links, ssize_t bytes)
{
    links->kept_bytes += (size_t)bytes;
    return links->kept_bytes > ROOM_KEPT_MAX;
}

/* `key`: tenant, NUL, room. */
static struct room_link *new_link(struct room_links *links, struct slice key, size_t tenant_len)
{
    struct room_link *link = xcalloc(1, sizeof(*link) + key.len);

    link->links = links;
    link->tenant_len = tenant_len;
    link->name_len = key.len;
    memcpy(link->name, key.data, key.len);
    if (ack_level_of(links->config->ack, room_of(link), &link->ack_level) < 0)
        log_panic("the levels of acknowledgement were not checked");
    link->answers = room_answers_new(links->joins, tenant_of(link), room_of(link));
    link->timer = event_new(loop_base(links->loop), -1, 0, on_timer, link);
    if (!link->timer)
        log_panic("a timer cannot be made");
    LIST_INIT(&link->sessions);
    LIST_INIT(&link->unstored);
    HASH_ADD_KEYPTR(by_name, links->by_name, link->name, link->name_len, link);
    link->state = ROOM_LINK_OPENING;
    arm_timer(link, ROOM_OPEN_MS);
    request_room(link);
    return link;
}

void room_link_join(struct room_links *links, struct session *s, struct slice tenant,
                    struct slice room)
{
    uint8_t key[ROOM_KEY_MAX];
    size_t len;
    struct room_link *link = find_link(links, tenant, room, key, &len);

    if (!link)
        link = new_link(links, slice_of(key, len), tenant.len);
    if (link->ipc && ipc_queued_bytes(link->ipc) > ROOM_QUEUE_FULL) {
        session_handle_refused(s, REFUSAL_UNAVAILABLE);
        return;
    }
    s->link = link;
    LIST_INSERT_HEAD(&link->sessions, s, entry);
    if (link->state == ROOM_LINK_OPEN)
        session_rejoin(s);
    if (link->is_subscribed)
        session_handle_subscribed(s);
}

void room_link_leave(struct session *s)
{
    struct room_link *link = TAKE_PTR(s->link);
    struct msg_session_leave m = {.session = s->id};

    LIST_REMOVE(s, entry);
    if (s->is_in_unstored)
        LIST_REMOVE(s, unstored_entry);
    s->is_in_unstored = false;
    room_link_send_new(link, proto_encode_session_leave(&m));
    if (LIST_EMPTY(&link->sessions))
        set_state(link, ROOM_LINK_GONE);
}

void room_link_send(struct room_link *link, struct blob *message)
{
    if (link->state == ROOM_LINK_OPEN)
        ipc_send(link->ipc, message);
}

void room_link_send_new(struct room_link *link, struct blob *message)
{
    room_link_send(link, message);
    blob_unref(message);
}

bool room_link_is_full(const struct room_link *link)
{
    return link->ipc && ipc_queued_bytes(link->ipc) > ROOM_QUEUE_MAX;
}

uint64_t room_link_acknowledged_seq(const struct room_link *link)
{
    return link->ack_level == ACK_ROOM ? UINT64_MAX : link->stored_seq;
}

bool room_link_is_subscribed(const struct room_link *link)
{
    return link->is_subscribed;
}

/* The first answer has the least of all; what is broadcast goes to everybody. */
void room_link_note_answer(struct room_link *link, uint64_t seq)
{
    if (!link->has_seen)
        note_seen(link, seq);
}

struct room_answers *room_link_answers(struct room_link *link)
{
    return link->answers;
}

void room_link_watch_stored(struct session *s)
{
    if (s->is_in_unstored)
        return;
    s->is_in_unstored = true;
    LIST_INSERT_HEAD(&s->link->unstored, s, unstored_entry);
}

/* ---- life ---- */

struct room_links *room_links_new(struct loop *loop, const struct config *config, struct auth *auth,
                                  loop_fn on_ready, void *ctx)
{
    struct room_links *links = xcalloc(1, sizeof(*links));
    char *roomd CLEANUP_FREE = config_roomd_socket(config);
    char *rooms CLEANUP_FREE = config_rooms_dir(config);

    links->loop = loop;
    links->config = config;
    links->auth = auth;
    links->joins = joins_new(loop, rooms);
    links->on_ready = on_ready;
    links->ctx = ctx;
    /* Not from 1: a later process of the same id must not take the numbers of this one's authors,
     * which the segments of rooms still name. */
    if (getrandom(&links->next_session, sizeof(links->next_session), 0) < 0)
        log_panic("no random bytes");
    links->roomd = roomd_client_new(loop, roomd, &roomd_handler, links);
    return links;
}

void room_links_free(struct room_links *links)
{
    struct room_link *next;

    for (struct room_link *link = links->by_name; link; link = next) {
        next = link->by_name.next;
        refuse(link, REFUSAL_UNAVAILABLE);
    }
    roomd_client_free(links->roomd);
    joins_free(links->joins);
    loop_reap(links->loop, free, links);
}

size_t room_links_count(const struct room_links *links)
{
    return HASH_CNT(by_name, links->by_name);
}

struct loop *room_links_loop(const struct room_links *links)
{
    return links->loop;
}

struct joins *room_links_joins(const struct room_links *links)
{
    return links->joins;
}
