#include "snapshotd/postgres_link.h"

#include "common/log.h"
#include "snapshotd/postgres_error.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <sys/queue.h>

/* CONNECTING ─▶ UP ─▶ LOST; LOST can follow any. */
enum link_state {
    LINK_CONNECTING,
    LINK_UP,
    LINK_LOST,
};

struct request {
    const struct postgres_request_handler *handler;
    void *ctx;
    unsigned syncs;     /* sent and not answered */
    unsigned statement; /* that the next result is of */
    int error;          /* the first */
    STAILQ_ENTRY(request) entry;
};

STAILQ_HEAD(request_queue, request);

struct postgres_link {
    struct loop *loop;
    const struct postgres_link_handler *handler;
    void *ctx;
    PGconn *conn;
    enum link_state state;
    int error; /* why it is lost */
    char detail[POSTGRES_DETAIL_MAX + 1];

    struct event *io; /* of libpq's present socket */
    short io_what;
    struct event *silence;
    uint32_t silence_ms;
    struct event *ending; /* tells of the loss, from the loop */
    bool is_loss_told;

    struct request_queue requests; /* sent, or being made */
    struct request *building;
};

/* ---- loss ---- */

static void stop_events(struct postgres_link *link)
{
    if (link->io)
        event_free(link->io);
    link->io = NULL;
    (void)event_del(link->silence);
}

/* The requests are told of it later, from the loop. */
static void lose(struct postgres_link *link, int error)
{
    if (link->state == LINK_LOST)
        return;
    link->state = LINK_LOST;
    link->error = error;
    if (error != -ETIMEDOUT)
        postgres_describe_connection(link->conn, link->detail);
    stop_events(link);
    event_active(link->ending, EV_TIMEOUT, 0);
}

static void end_request(struct postgres_link *link, int error)
{
    struct request *q = STAILQ_FIRST(&link->requests);
    const struct postgres_request_handler *handler = q->handler;
    void *ctx = q->ctx;

    STAILQ_REMOVE_HEAD(&link->requests, entry);
    free(q);
    handler->on_end(ctx, error);
}

static void cancel_requests(struct postgres_link *link)
{
    while (!STAILQ_EMPTY(&link->requests))
        end_request(link, -ECANCELED);
}

static void on_ending(evutil_socket_t fd, short what, void *ctx)
{
    struct postgres_link *link = ctx;

    (void)fd;
    (void)what;
    cancel_requests(link);
    if (link->is_loss_told)
        return;
    link->is_loss_told = true;
    link->handler->on_lost(link->ctx, link->error);
}

static void on_silence(evutil_socket_t fd, short what, void *ctx)
{
    struct postgres_link *link = ctx;

    (void)fd;
    (void)what;
    (void)snprintf(link->detail, sizeof(link->detail), "silent for %u ms",
                   (unsigned)link->silence_ms);
    lose(link, -ETIMEDOUT);
}

static void watch_silence(struct postgres_link *link)
{
    struct timeval tv = {.tv_sec = link->silence_ms / 1000,
                         .tv_usec = (suseconds_t)(link->silence_ms % 1000) * 1000};

    if (event_add(link->silence, &tv) < 0)
        log_panic("a timer cannot be set");
}

/* ---- results ---- */

static void take_error(struct postgres_link *link, struct request *q, const PGresult *res)
{
    if (q->error == 0) {
        q->error = postgres_result_error(res);
        postgres_describe_result(res, link->detail);
    }
}

static void give_rows(struct request *q, const PGresult *res)
{
    for (int row = 0; row < PQntuples(res) && q->error == 0; row++) {
        int r = q->handler->on_row ? q->handler->on_row(q->ctx, q->statement, res, row) : 0;
        if (r < 0)
            q->error = r;
    }
}

static void handle_result(struct postgres_link *link, const PGresult *res)
{
    struct request *q = STAILQ_FIRST(&link->requests);

    if (!res) {
        q->statement++;
        return;
    }
    switch (PQresultStatus(res)) {
    case PGRES_COMMAND_OK:
    case PGRES_PIPELINE_ABORTED: /* an earlier one has failed */
        break;
    case PGRES_SINGLE_TUPLE:
    case PGRES_TUPLES_OK:
        give_rows(q, res);
        break;
    case PGRES_PIPELINE_SYNC:
        if (--q->syncs == 0)
            end_request(link, q->error);
        break;
    case PGRES_EMPTY_QUERY:
    case PGRES_COPY_OUT:
    case PGRES_COPY_IN:
    case PGRES_COPY_BOTH:
    case PGRES_BAD_RESPONSE:
    case PGRES_NONFATAL_ERROR:
    case PGRES_FATAL_ERROR:
        take_error(link, q, res);
        break;
    }
}

/* Hands out what has arrived. */
static void take_results(struct postgres_link *link)
{
    while (link->state == LINK_UP && !STAILQ_EMPTY(&link->requests)) {
        /* Asked for anew for each statement; elsewhere it is ignored. */
        (void)PQsetSingleRowMode(link->conn);
        if (PQisBusy(link->conn))
            return;
        PGresult *res = PQgetResult(link->conn);
        if (PQstatus(link->conn) == CONNECTION_BAD)
            lose(link, -ECONNRESET);
        else
            handle_result(link, res);
        PQclear(res);
    }
    if (link->state == LINK_UP)
        (void)event_del(link->silence);
}

/* ---- the socket ---- */

static void on_io(evutil_socket_t fd, short what, void *ctx);

/* libpq may have made another socket. */
static void watch(struct postgres_link *link, short what)
{
    if (link->io)
        event_free(link->io);
    link->io_what = what;
    link->io = event_new(loop_base(link->loop), PQsocket(link->conn), (short)(what | EV_PERSIST),
                         on_io, link);
    if (!link->io || event_add(link->io, NULL) < 0)
        log_panic("the database's socket cannot be watched");
}

static void flush(struct postgres_link *link)
{
    if (link->state != LINK_UP)
        return;
    int r = PQflush(link->conn);
    if (r < 0) {
        lose(link, -ECONNRESET);
        return;
    }
    short what = r > 0 ? EV_READ | EV_WRITE : EV_READ;
    if (what != link->io_what)
        watch(link, what);
}

/* TLS may hold bytes that the socket no longer shows. */
static bool has_hidden_bytes(const struct postgres_link *link)
{
    SSL *ssl = PQsslStruct(link->conn, "OpenSSL");

    return ssl && SSL_pending(ssl) > 0;
}

static void read_all(struct postgres_link *link)
{
    do {
        if (!PQconsumeInput(link->conn)) {
            lose(link, -ECONNRESET);
            return;
        }
    } while (has_hidden_bytes(link));
}

static void connected(struct postgres_link *link)
{
    (void)event_del(link->silence);
    if (PQsetnonblocking(link->conn, 1) < 0 || !PQenterPipelineMode(link->conn)) {
        lose(link, -ENOTCONN);
        return;
    }
    link->state = LINK_UP;
    watch(link, EV_READ);
    link->handler->on_up(link->ctx);
}

static void go_on_connecting(struct postgres_link *link)
{
    /* libpq closes a socket before it tries the next address. */
    event_free(link->io);
    link->io = NULL;
    switch (PQconnectPoll(link->conn)) {
    case PGRES_POLLING_READING:
        watch(link, EV_READ);
        break;
    case PGRES_POLLING_WRITING:
        watch(link, EV_WRITE);
        break;
    case PGRES_POLLING_OK:
        connected(link);
        break;
    case PGRES_POLLING_FAILED:
    case PGRES_POLLING_ACTIVE:
        lose(link, -ENOTCONN);
        break;
    }
}

static void on_io(evutil_socket_t fd, short what, void *ctx)
{
    struct postgres_link *link = ctx;

    (void)fd;
    if (link->state == LINK_CONNECTING) {
        go_on_connecting(link);
        return;
    }
    /* Either way the server has done something. */
    if (!STAILQ_EMPTY(&link->requests))
        watch_silence(link);
    if (what & EV_READ)
        read_all(link);
    if (link->state == LINK_UP)
        take_results(link);
    flush(link);
}

/* ---- requests ---- */

void postgres_request_begin(struct postgres_link *link,
                            const struct postgres_request_handler *handler, void *ctx)
{
    struct request *q = xcalloc(1, sizeof(*q));

    assert(!link->building);
    q->handler = handler;
    q->ctx = ctx;
    if (STAILQ_EMPTY(&link->requests) && link->state == LINK_UP)
        watch_silence(link);
    STAILQ_INSERT_TAIL(&link->requests, q, entry);
    link->building = q;
}

static void check_sent(struct postgres_link *link, int is_sent)
{
    if (!is_sent)
        lose(link, -ECONNRESET);
}

void postgres_request_prepare(struct postgres_link *link, const char *name, const char *sql)
{
    if (link->state == LINK_UP)
        check_sent(link, PQsendPrepare(link->conn, name, sql, 0, NULL));
}

void postgres_request_sql(struct postgres_link *link, const char *sql)
{
    if (link->state == LINK_UP)
        check_sent(link, PQsendQueryParams(link->conn, sql, 0, NULL, NULL, NULL, NULL, 1));
}

void postgres_request_prepared(struct postgres_link *link, const char *name,
                               const struct postgres_params *params)
{
    const char *values[POSTGRES_PARAMS_MAX];
    int lengths[POSTGRES_PARAMS_MAX];
    int formats[POSTGRES_PARAMS_MAX];
    int count = params ? params->count : 0;

    if (link->state != LINK_UP)
        return;
    for (int i = 0; i < count; i++) {
        const struct buffer *value = &params->values[i];
        values[i] = value->data ? (const char *)value->data : ""; /* NULL would be NULL */
        lengths[i] = (int)value->len;
        formats[i] = 1;
    }
    check_sent(link, PQsendQueryPrepared(link->conn, name, count, values, lengths, formats, 1));
}

void postgres_request_sync(struct postgres_link *link)
{
    link->building->syncs++;
    if (link->state == LINK_UP)
        check_sent(link, PQpipelineSync(link->conn));
}

void postgres_request_end(struct postgres_link *link)
{
    postgres_request_sync(link);
    link->building = NULL;
    if (link->state == LINK_LOST)
        event_active(link->ending, EV_TIMEOUT, 0);
    flush(link);
}

/* ---- life ---- */

static void on_notice(void *ctx, const PGresult *res)
{
    char text[POSTGRES_DETAIL_MAX + 1];

    (void)ctx;
    postgres_describe_result(res, text);
    log_debug("postgresql: %s", text);
}

static void start(struct postgres_link *link, const char *url)
{
    char silence[16];
    (void)snprintf(silence, sizeof(silence), "%u", (unsigned)link->silence_ms);
    /* The URL may say otherwise, but for what follows it. */
    const char *const options[][2] = {
        {"application_name", "concord"}, {"keepalives_idle", "30"},
        {"keepalives_interval", "10"},   {"keepalives_count", "3"},
        {"tcp_user_timeout", silence},   {"dbname", url},
        {"client_encoding", "UTF8"},     {NULL, NULL},
    };
    const char *names[sizeof(options) / sizeof(options[0])];
    const char *values[sizeof(options) / sizeof(options[0])];

    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        names[i] = options[i][0];
        values[i] = options[i][1];
    }
    link->conn = PQconnectStartParams(names, values, 1);
    if (!link->conn)
        log_panic("no memory for a connection");
    (void)PQsetNoticeReceiver(link->conn, on_notice, NULL);
    if (PQstatus(link->conn) == CONNECTION_BAD)
        lose(link, -ENOTCONN);
    else
        watch(link, EV_WRITE);
}

static struct event *new_timer(struct postgres_link *link, event_callback_fn fn)
{
    struct event *e = evtimer_new(loop_base(link->loop), fn, link);

    if (!e)
        log_panic("no timer can be made");
    return e;
}

struct postgres_link *postgres_link_new(struct loop *loop, const char *url, uint32_t silence_ms,
                                        const struct postgres_link_handler *handler, void *ctx)
{
    struct postgres_link *link = xcalloc(1, sizeof(*link));

    link->loop = loop;
    link->handler = handler;
    link->ctx = ctx;
    link->silence_ms = silence_ms;
    STAILQ_INIT(&link->requests);
    link->silence = new_timer(link, on_silence);
    link->ending = new_timer(link, on_ending);
    watch_silence(link);
    start(link, url);
    return link;
}

void postgres_link_free(struct postgres_link *link)
{
    if (!link)
        return;
    link->state = LINK_LOST;
    cancel_requests(link);
    stop_events(link);
    event_free(link->silence);
    event_free(link->ending);
    PQfinish(link->conn);
    free(link);
}

void postgres_link_set_silence(struct postgres_link *link, uint32_t silence_ms)
{
    link->silence_ms = silence_ms;
}

const char *postgres_link_parameter(const struct postgres_link *link, const char *name)
{
    const char *value = PQparameterStatus(link->conn, name);

    return value ? value : "";
}

const char *postgres_link_detail(const struct postgres_link *link)
{
    return link->detail;
}
