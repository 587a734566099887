#include "gateway/hocuspocus.h"

#include "common/hash_table.h"
#include "common/loop.h"
#include "common/metrics.h"
#include "common/names.h"
#include "gateway/reply.h"
#include "gateway/session.h"
#include "proto/refusal.h"

#include <errno.h>

enum doc_state {
    DOC_UNKNOWN,
    DOC_OPEN,
    DOC_DENIED,
};

struct hocuspocus_doc {
    struct hocuspocus *socket;
    enum doc_state state;
    struct session *session; /* OPEN, but for a moment when it ends */
    struct blob *prefix;
    UT_hash_handle hh;
    size_t key_len;
    uint8_t key[];
};

struct hocuspocus {
    const struct routes *routes;
    struct conn *conn;           /* NULL once it has ended; the rest goes at the end of the turn */
    struct principal *principal; /* of the request; NULL: it had no token */
    bool has_seats;              /* of a tenant, and maybe a user */
    bool has_shown_token;
    uint32_t early_frames; /* that came before */
    uint64_t early_bytes;
    uint64_t token_end_ms;
    uint32_t bad_tokens;
    uint64_t close_ms; /* when the connection ends for `close_refusal`; 0: it does not */
    uint32_t close_refusal;
    struct hocuspocus_doc *docs; /* by key */
    uint32_t open_docs;          /* how many of them are OPEN */
};

/* ---- to the client ---- */

/* Sends and consumes a frame. The connection may end by it, as by every call that sends. */
static void send_new(struct hocuspocus *h, struct blob *frame)
{
    if (h->conn)
        conn_send_new(h->conn, frame);
    else
        blob_unref(frame);
}

static void close_with(struct hocuspocus *h, uint32_t refusal)
{
    const struct refusal_info *info = refusal_info(refusal);

    if (h->conn)
        conn_close(h->conn, info->close_code, info->text);
}

static const struct client_limits *limits_of(const struct hocuspocus *h)
{
    return h->routes->limits;
}

static void send_denied(struct hocuspocus *h, struct slice prefix, uint32_t refusal)
{
    metric_add(METRIC_GATEWAY_REFUSALS, 1);
    send_new(h, hocuspocus_frame_denied(prefix, refusal_info(refusal)->text));
}

/* ---- documents ---- */

static struct slice key_of(const struct hocuspocus_doc *doc)
{
    return slice_of(doc->key, doc->key_len);
}

static struct hocuspocus_doc *find_doc(const struct hocuspocus *h, struct slice key)
{
    struct hocuspocus_doc *doc;

    HASH_FIND(hh, h->docs, key.data, key.len, doc);
    return doc;
}

static struct hocuspocus_doc *new_doc(struct hocuspocus *h, struct slice key)
{
    struct hocuspocus_doc *doc = xcalloc(1, sizeof(*doc) + key.len);

    doc->socket = h;
    doc->prefix = hocuspocus_prefix(key);
    doc->key_len = key.len;
    memcpy(doc->key, key.data, key.len);
    HASH_ADD_KEYPTR(hh, h->docs, doc->key, doc->key_len, doc);
    return doc;
}

static void set_state(struct hocuspocus_doc *doc, enum doc_state state)
{
    doc->socket->open_docs -= doc->state == DOC_OPEN;
    doc->socket->open_docs += state == DOC_OPEN;
    doc->state = state;
}

static void free_doc(struct hocuspocus_doc *doc)
{
    set_state(doc, DOC_DENIED);
    HASH_DEL(doc->socket->docs, doc);
    blob_unref(doc->prefix);
    free(doc);
}

void hocuspocus_set_session(struct hocuspocus_doc *doc, struct session *s)
{
    doc->session = s;
}

void hocuspocus_close(struct hocuspocus_doc *doc, uint32_t refusal)
{
    close_with(doc->socket, refusal);
}

void hocuspocus_close_later(struct hocuspocus_doc *doc, uint32_t refusal)
{
    struct hocuspocus *h = doc->socket;
    uint32_t wait_ms =
        HOCUSPOCUS_RETRY_MS + arc4random_uniform(HOCUSPOCUS_RETRY_MAX_MS - HOCUSPOCUS_RETRY_MS + 1);

    set_state(doc, DOC_DENIED);
    if (h->close_ms != 0)
        return;
    h->close_ms = mono_now_ms() + wait_ms;
    h->close_refusal = refusal;
}

void hocuspocus_deny(struct hocuspocus_doc *doc, uint32_t refusal)
{
    set_state(doc, DOC_DENIED);
    send_denied(doc->socket, blob_slice(doc->prefix), refusal);
}

/* ---- tokens ---- */

/* Whose token it is, a new reference; without one the request's counts. 0 or a refusal. */
static uint32_t identify(const struct hocuspocus *h, struct slice token, struct principal **ret)
{
    if (token.len == 0 && h->principal) {
        *ret = principal_ref(h->principal);
        return 0;
    }
    return auth_token(h->routes->auth, token, ret);
}

/* The connection counts as one of the first user who is let in on it. */
static bool take_seats(struct hocuspocus *h, const struct principal *p)
{
    if (!h->has_seats)
        h->has_seats = conn_take_seats(h->conn, p->tenant, p->subject);
    return h->has_seats;
}

static void open_session(struct hocuspocus_doc *doc, struct principal *principal,
                         enum access access)
{
    struct admission admission = {
        .principal = principal, .access = access, .room = hocuspocus_document(key_of(doc))};
    struct session_params params = {.socket = doc, .key = blob_slice(doc->prefix)};

    set_state(doc, DOC_OPEN);
    session_open(doc->socket->routes->links, doc->socket->conn, &dialect_hocuspocus, &admission,
                 &params);
}

/* Another token on an open document; it must be of the same user. */
static uint32_t renew(struct hocuspocus_doc *doc, struct principal *principal, enum access access)
{
    const struct principal *before = doc->session->principal;

    if (access == ACCESS_NONE || strcmp(before->tenant, principal->tenant) != 0 ||
        strcmp(before->subject, principal->subject) != 0)
        return REFUSAL_FORBIDDEN;
    session_set_principal(doc->session, principal, access);
    return 0;
}

static bool has_all_documents(const struct hocuspocus *h)
{
    bool has_all = h->open_docs >= limits_of(h)->documents;

    metric_add(METRIC_LIMITED_DOCUMENTS, has_all);
    return has_all;
}

/* Lets the document in for this user, or denies it. `is_told`: the client hears of it. */
static void admit(struct hocuspocus_doc *doc, struct principal *principal, bool is_told)
{
    struct slice room = hocuspocus_document(key_of(doc));
    enum access access = ACCESS_NONE;
    uint32_t refusal = name_is_valid(room) ? 0 : REFUSAL_BAD_NAME;

    if (refusal == 0)
        access = auth_access(doc->socket->routes->auth, principal, room);
    if (refusal == 0 && doc->session)
        refusal = renew(doc, principal, access);
    else if (refusal == 0 && access == ACCESS_NONE)
        refusal = REFUSAL_FORBIDDEN;
    else if (refusal == 0 && !take_seats(doc->socket, principal))
        refusal = REFUSAL_TOO_MANY;
    else if (refusal == 0 && has_all_documents(doc->socket))
        refusal = REFUSAL_TOO_MANY;
    if (refusal != 0) {
        if (doc->session)
            session_end(doc->session);
        hocuspocus_deny(doc, refusal);
        return;
    }
    if (is_told)
        send_new(doc->socket,
                 hocuspocus_frame_authenticated(blob_slice(doc->prefix), access < ACCESS_WRITE));
    if (!doc->session && doc->socket->conn)
        open_session(doc, principal, access);
}

static void handle_token(struct hocuspocus_doc *doc, struct slice token)
{
    struct hocuspocus *h = doc->socket;
    struct principal *principal = NULL;
    uint32_t refusal = identify(h, token, &principal);

    conn_note_update(h->conn); /* it costs as much */
    h->has_shown_token = true;
    if (refusal == 0) {
        admit(doc, principal, true);
    } else {
        if (doc->session)
            session_end(doc->session);
        hocuspocus_deny(doc, refusal);
        if (++h->bad_tokens > HOCUSPOCUS_BAD_TOKENS)
            close_with(h, REFUSAL_UNAUTHORIZED);
    }
    principal_unref(principal);
}

/* Whoever connects may have documents without showing a token here. */
static bool needs_no_token(const struct hocuspocus *h)
{
    return h->principal || !auth_is_on(h->routes->auth);
}

/* The first frame of a document is no token, and none is needed. */
static void admit_without_token(struct hocuspocus_doc *doc)
{
    struct principal *principal = NULL;

    if (identify(doc->socket, slice_of(NULL, 0), &principal) == 0)
        admit(doc, principal, false);
    principal_unref(principal);
}

/* A frame that is of no document that is known, and makes none. */
static void note_early(struct hocuspocus *h, size_t bytes)
{
    const struct client_limits *limits = limits_of(h);

    if (h->has_shown_token || needs_no_token(h))
        return;
    h->early_bytes += bytes;
    bool has_many = ++h->early_frames > limits->auth_messages;
    bool has_much = h->early_bytes > limits->auth_bytes;
    metric_add(METRIC_LIMITED_AUTH_MESSAGES, has_many);
    metric_add(METRIC_LIMITED_AUTH_BYTES, has_much);
    if (has_many || has_much)
        close_with(h, REFUSAL_UNAUTHORIZED);
}

/* ---- frames ---- */

static void handle_message(struct hocuspocus_doc *doc, const struct hocuspocus_message *m)
{
    if (m->kind == HOCUSPOCUS_TOKEN) {
        handle_token(doc, m->body);
        return;
    }
    if (m->kind == HOCUSPOCUS_CLOSE) {
        if (doc->session)
            session_end(doc->session);
        free_doc(doc);
        return;
    }
    if (doc->state == DOC_UNKNOWN)
        admit_without_token(doc);
    if (doc->session && m->kind == HOCUSPOCUS_SHARED)
        dialect_hocuspocus.on_message(doc->session, false, m->body);
}

/* A document that cannot even be remembered as denied. */
static void deny_name(struct hocuspocus *h, struct slice key)
{
    struct blob *prefix = hocuspocus_prefix(key);

    send_denied(h, blob_slice(prefix), REFUSAL_TOO_MANY);
    blob_unref(prefix);
}

static void on_message(void *ctx, bool is_text, struct slice payload)
{
    struct hocuspocus *h = ctx;
    struct hocuspocus_message m;

    if (is_text || hocuspocus_read(payload, &m) < 0) {
        close_with(h, is_text ? REFUSAL_NOT_TEXT : REFUSAL_BAD_MESSAGE);
        return;
    }
    if (m.kind == HOCUSPOCUS_PING)
        send_new(h, hocuspocus_frame_pong());
    if (m.kind == HOCUSPOCUS_PING || m.kind == HOCUSPOCUS_PONG)
        return;
    struct hocuspocus_doc *doc = find_doc(h, m.key);
    bool is_first = m.kind == HOCUSPOCUS_TOKEN || (m.is_sync && needs_no_token(h));
    if (!doc && !is_first)
        note_early(h, payload.len);
    else if (doc || HASH_COUNT(h->docs) / 2 < limits_of(h)->documents)
        handle_message(doc ? doc : new_doc(h, m.key), &m);
    else if (m.kind == HOCUSPOCUS_TOKEN)
        deny_name(h, m.key);
}

/* ---- the connection ---- */

/* Calls `fn` for every session. One may end by it, and all if the connection does. */
static void for_each_session(struct hocuspocus *h, void (*fn)(struct session *s))
{
    for (struct hocuspocus_doc *doc = h->docs; doc; doc = doc->hh.next)
        if (doc->session)
            fn(doc->session);
}

static void on_behind(void *ctx)
{
    for_each_session(ctx, session_handle_behind);
}

static void on_caught_up(void *ctx)
{
    for_each_session(ctx, session_handle_caught_up);
}

/* Something from us keeps the client, and every proxy between, from taking us for dead. */
static void keep_alive(struct hocuspocus *h)
{
    if (h->docs && mono_now_ms() >= conn_last_sent_ms(h->conn) + HOCUSPOCUS_SILENCE_MS)
        send_new(h, hocuspocus_frame_alive(blob_slice(h->docs->prefix)));
}

static void release(void *ctx)
{
    struct hocuspocus *h = ctx;
    struct hocuspocus_doc *doc, *next;

    HASH_ITER (hh, h->docs, doc, next)
        free_doc(doc);
    principal_unref(h->principal);
    free(h);
}

static void on_tick(void *ctx)
{
    struct hocuspocus *h = ctx;
    bool is_known = h->has_shown_token || needs_no_token(h);
    uint64_t now_ms = mono_now_ms();

    if (!is_known && now_ms >= h->token_end_ms) {
        metric_add(METRIC_LIMITED_AUTH_MS, 1);
        close_with(h, h->early_frames > 0 ? REFUSAL_UNAUTHORIZED : REFUSAL_AUTH_TIMEOUT);
        return;
    }
    if (h->close_ms != 0 && now_ms >= h->close_ms) {
        close_with(h, h->close_refusal);
        return;
    }
    for_each_session(h, session_tick);
    if (h->conn)
        keep_alive(h);
}

static void on_end(void *ctx)
{
    struct hocuspocus *h = ctx;

    h->conn = NULL;
    for_each_session(h, session_end);
    loop_reap(room_links_loop(h->routes->links), release, h);
}

static const struct conn_owner owner = {
    .on_message = on_message,
    .on_behind = on_behind,
    .on_caught_up = on_caught_up,
    .on_tick = on_tick,
    .on_end = on_end,
};

void hocuspocus_start(const struct routes *r, struct conn *c, const struct http_request *req,
                      struct slice name)
{
    char accept[HTTP_ACCEPT_LEN + 1];
    struct principal *principal = NULL;
    unsigned status = http_check_websocket(req, accept);

    (void)name;
    if (status != 101) {
        reply_status(c, req, status, "GET");
        return;
    }
    uint32_t refusal = auth_origin_is_allowed(r->auth, req)
                           ? auth_request(r->auth, req, true, &principal)
                           : REFUSAL_FORBIDDEN;
    if (refusal != 0) {
        reply_refusal(c, req, refusal);
        return;
    }
    if (!conn_take_seats(c, principal ? principal->tenant : NULL,
                         principal ? principal->subject : NULL)) {
        principal_unref(principal);
        reply_refusal(c, req, REFUSAL_TOO_MANY);
        return;
    }
    struct hocuspocus *h = xcalloc(1, sizeof(*h));
    h->routes = r;
    h->conn = c;
    h->principal = principal;
    h->has_seats = principal != NULL;
    h->token_end_ms = mono_now_ms() + r->limits->auth_ms;
    bool is_offered = http_offers_subprotocol(req, DIALECT_SUBPROTOCOL);
    conn_accept(c, accept, is_offered ? DIALECT_SUBPROTOCOL : NULL, &owner, h);
}
