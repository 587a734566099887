/* A connection whose handler is this test: answers at once, put off, and put off for no time. */
#include "gateway/conn.h"
#include "gateway/limiter.h"
#include "gateway/stream.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/socket.h>

/* Nothing but the bytes. */
static const struct stream_setup plain;

static struct loop *loop;
static struct conns *conns;
static int client;
static struct conn *waiting; /* for an answer that is put off */

static void answer(struct conn *c)
{
    conn_answer(c, &(struct http_answer){.status = 204, .extra = "X-Own: yes\r\n"}, NULL);
}

static void on_tick(void *ctx)
{
    (void)ctx;
}

static void on_end(void *ctx)
{
    (void)ctx;
    waiting = NULL;
}

static const struct conn_owner owner = {.on_tick = on_tick, .on_end = on_end};

static unsigned on_head(void *ctx, struct conn *c, const struct http_request *req, size_t *ret_max)
{
    (void)ctx;
    (void)c;
    (void)req;
    *ret_max = 8;
    return 0;
}

static void on_request(void *ctx, struct conn *c, const struct http_request *req)
{
    (void)ctx;
    if (slice_equal(req->path, slice_str("/headers")))
        conn_set_headers(c, "X-More: yes\r\n");
    if (slice_equal(req->path, slice_str("/put-off"))) {
        waiting = c;
        conn_defer(c, &owner, NULL);
        return;
    }
    if (slice_equal(req->path, slice_str("/for-no-time")))
        conn_defer(c, &owner, NULL);
    answer(c);
}

static const struct conn_handler handler = {.on_head = on_head, .on_request = on_request};

/* What was put off is answered in the turn after; without clients the loop ends. */
static void on_turn_end(void *ctx)
{
    struct conn *c = waiting;

    (void)ctx;
    waiting = NULL;
    if (c)
        answer(c);
    if (conns_count(conns) == 0)
        loop_stop(loop, 0);
}

static const struct client_limits limits = CLIENT_LIMITS_DEFAULTS;

static struct conns_setup setup = {
    .stream = &plain,
    .limits = &limits,
    .message_max = 1024,
    .handler = &handler,
};

static void start(void)
{
    int pair[2];

    loop = loop_new();
    setup.limiter = limiter_new(&limits, NULL);
    conns = conns_new(loop, &setup);
    loop_add_turn_hook(loop, on_turn_end, NULL);
    cr_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
    client = pair[0];
    conn_start(conns, pair[1]);
}

static void stop(void)
{
    (void)close(client);
    conns_free(conns);
    limiter_free(setup.limiter);
    loop_free(loop);
}

TestSuite(conn, .init = start, .fini = stop, .timeout = 10);

/* Sends it all, closes, and returns what came. */
static char *exchange(const char *requests)
{
    static char all[4096];

    memset(all, 0, sizeof(all));
    cr_assert(send(client, requests, strlen(requests), 0) == (ssize_t)strlen(requests));
    cr_assert(shutdown(client, SHUT_WR) == 0);
    cr_assert(loop_run(loop) == 0);
    cr_assert(recv(client, all, sizeof(all) - 1, 0) > 0);
    return all;
}

static unsigned count(const char *text, const char *what)
{
    unsigned n = 0;

    for (const char *at = text; (at = strstr(at, what)); at += strlen(what))
        n++;
    return n;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

Test(conn, answers_that_are_put_off)
{
    const char *all = exchange(GET("/put-off") GET("/") GET("/put-off"));

    cr_expect(count(all, "HTTP/1.1 204 ") == 3, "%s", all);
}

Test(conn, answers_that_are_put_off_for_no_time)
{
    const char *all = exchange(GET("/for-no-time") GET("/for-no-time"));

    cr_expect(count(all, "HTTP/1.1 204 ") == 2, "%s", all);
}

Test(conn, headers_are_of_one_answer)
{
    const char *all = exchange(GET("/headers") GET("/") GET("/put-off") GET("/headers"));

    cr_expect(count(all, "X-More: yes\r\n") == 2, "%s", all);
    cr_expect(count(all, "X-Own: yes\r\n") == 4, "%s", all);
}

Test(conn, bodies_between_requests)
{
    const char *all =
        exchange("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nGET / HT"
                 "POST /put-off HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n\n" GET("/"));

    cr_expect(count(all, "HTTP/1.1 ") == 3 && count(all, "HTTP/1.1 204 ") == 3, "%s", all);
}
