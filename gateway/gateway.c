#include "gateway/gateway.h"

#include "common/address.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/notify.h"
#include "common/secret.h"
#include "gateway/auth.h"
#include "gateway/census.h"
#include "gateway/conn.h"
#include "gateway/doc_key.h"
#include "gateway/drain.h"
#include "gateway/limiter.h"
#include "gateway/listener.h"
#include "gateway/pages.h"
#include "gateway/room_link.h"
#include "gateway/routes.h"
#include "gateway/stream.h"
#include "gateway/tls.h"
#include "proto/proto.h"

#include <errno.h>
#include <event2/event.h>
#include <string.h>
#include <sys/resource.h>

#define STOP_CHECK_MS 10
#define ROOM_SHARE    8 /* one descriptor in so many is kept for rooms */

struct gateway {
    struct loop *loop;
    const struct config *config;
    struct pages *pages;
    struct room_links *links;
    struct stream_setup setup;
    struct census *census; /* NULL: it could not be had */
    struct limiter *limiter;
    struct conns_setup conns_setup;
    struct conns *conns;
    struct drain *drain;
    char *metrics_dir;
    struct listener *listener;
    struct auth *auth;
    struct blob *doc_key;
    struct routes routes;
    struct event *on_stopping;
    uint64_t stop_ms; /* when it stops at the latest; 0 while nobody asked for it */
};

static void on_ready(void *ctx)
{
    struct gateway *g = ctx;

    log_info("ready on %s port %u", g->config->host, listener_port(g->listener));
    notify_ready();
}

/* Clients do not get the last descriptors: rooms, and the way to roomd, take some too. */
static bool is_for_client(int fd)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_NOFILE, &limit) < 0 ||
           (rlim_t)fd < limit.rlim_cur - limit.rlim_cur / ROOM_SHARE;
}

static void on_accept(void *ctx, int fd)
{
    struct gateway *g = ctx;

    if (is_for_client(fd))
        conn_start(g->conns, fd);
    else
        (void)close(fd);
}

/* Stops as soon as clients have their close frames and rooms what clients had sent. */
static void on_stopping(evutil_socket_t fd, short what, void *ctx)
{
    struct gateway *g = ctx;
    bool is_done = conns_count(g->conns) == 0 && room_links_count(g->links) == 0;

    (void)fd;
    (void)what;
    if (is_done || mono_now_ms() >= g->stop_ms)
        loop_stop(g->loop, 0);
}

static void on_terminate(void *ctx)
{
    struct gateway *g = ctx;
    struct timeval check = {.tv_usec = STOP_CHECK_MS * 1000};

    if (g->stop_ms != 0)
        return;
    uint32_t spread_ms = g->config->drain_ms;
    listener_accept(g->listener);
    listener_free(TAKE_PTR(g->listener));
    log_info("stopping, with %zu connections", conns_count(g->conns));
    g->stop_ms = mono_now_ms() + spread_ms + GATEWAY_STOP_MS;
    g->drain = drain_new(g->loop, g->conns, spread_ms);
    if (event_add(g->on_stopping, &check) < 0)
        loop_stop(g->loop, 0);
}

/* A certificate that does not load leaves the one before in use. */
static int load_certificate(struct gateway *g)
{
    char *error CLEANUP_FREE = NULL;
    int r = tls_server_load(g->setup.tls, &error);

    if (r < 0)
        log_error("the certificate cannot be loaded: %s", error);
    return r;
}

static void on_hangup(void *ctx)
{
    struct gateway *g = ctx;

    if (g->setup.tls && load_certificate(g) == 0)
        log_info("the certificate was loaded anew");
    auth_reload(g->auth);
}

static int prepare_streams(struct gateway *g)
{
    const struct config *config = g->config;
    int r = networks_parse(config->trusted_proxies, &g->setup.trusted);

    g->setup.has_proxy_header = config->proxy_protocol;
    if (r < 0 || !config->tls_cert[0])
        return r;
    secret_hide_process(); /* the private key */
    g->setup.tls = tls_server_new(config->tls_cert, config->tls_key);
    return load_certificate(g);
}

static int load_pages(struct gateway *g)
{
    int r = pages_load(g->config->web, &g->pages);

    if (r < 0)
        log_error("the pages in %s cannot be loaded: %s", g->config->web, strerror(-r));
    return r;
}

static void prepare_limits(struct gateway *g)
{
    char *dir CLEANUP_FREE = config_census_dir(g->config);
    int r = config_make_run(g->config);

    if (r == 0)
        r = census_open(dir, &g->census);
    if (r < 0)
        log_warn("connections of other gateways are not counted: %s: %s", dir, strerror(-r));
    g->limiter = limiter_new(&g->config->limits, g->census);
}

static int listen_on_port(struct gateway *g)
{
    /* Without keys everybody who reaches the port may read and write every room. */
    if (!auth_is_on(g->auth) && !address_is_loopback(g->config->host)) {
        log_error("there are no keys: %s is not listened on, as it is no loopback address",
                  g->config->host);
        return -EACCES;
    }
    int r = listener_new(g->loop, g->config->host, g->config->port, on_accept, g, &g->listener);

    if (r < 0)
        log_error("cannot listen on %s port %u: %s", g->config->host, g->config->port,
                  strerror(-r));
    return r;
}

int gateway_new(struct loop *loop, const struct config *config, struct gateway **ret)
{
    struct gateway *g = xcalloc(1, sizeof(*g));
    size_t message_max =
        config->message_bytes < PROTO_CLIENT_MAX ? config->message_bytes : PROTO_CLIENT_MAX;

    g->loop = loop;
    g->config = config;
    int r = load_pages(g);
    if (r == 0)
        r = auth_new(config, &g->auth);
    if (r == 0)
        r = doc_key_load(config, &g->doc_key);
    if (r == 0)
        r = prepare_streams(g);
    if (r == 0)
        r = listen_on_port(g);
    if (r < 0) {
        gateway_free(g);
        return r;
    }
    g->links = room_links_new(loop, config, g->auth, on_ready, g);
    metrics_start(config, "gateway");
    g->metrics_dir = config_metrics_dir(config);
    g->routes = (struct routes){
        .pages = g->pages,
        .links = g->links,
        .auth = g->auth,
        .doc_key = g->doc_key,
        .limits = &config->limits,
        .message_max = message_max,
        .metrics_dir = g->metrics_dir,
    };
    prepare_limits(g);
    g->conns_setup = (struct conns_setup){.stream = &g->setup,
                                          .limits = &config->limits,
                                          .limiter = g->limiter,
                                          .message_max = message_max,
                                          .handler = &routes_handler,
                                          .ctx = &g->routes};
    g->conns = conns_new(loop, &g->conns_setup);
    if (config->compression)
        conns_allow_compression(g->conns);
    g->on_stopping = event_new(loop_base(loop), -1, EV_PERSIST, on_stopping, g);
    if (!g->on_stopping)
        log_panic("a timer cannot be made");
    loop_on_terminate(loop, on_terminate, g);
    loop_on_hangup(loop, on_hangup, g);
    *ret = g;
    return 0;
}

void gateway_free(struct gateway *g)
{
    if (!g)
        return;
    if (g->on_stopping)
        event_free(g->on_stopping);
    drain_free(g->drain);
    if (g->conns)
        conns_free(g->conns);
    if (g->links)
        room_links_free(g->links);
    limiter_free(g->limiter);
    census_free(g->census);
    listener_free(g->listener);
    tls_server_free(g->setup.tls);
    networks_done(&g->setup.trusted);
    pages_free(g->pages);
    auth_free(g->auth);
    blob_unref(g->doc_key);
    free(g->metrics_dir);
    free(g);
}
