/*
 * Sends every message of a WebSocket back, on any path, with the gateway's codec and connections:
 * what conformance suites run against. It prints the port that it listens on.
 *
 *     ws_echo [--port N] [--compression on|off]
 */
#include "common/log.h"
#include "common/loop.h"
#include "gateway/conn.h"
#include "gateway/limiter.h"
#include "gateway/listener.h"
#include "gateway/stream.h"
#include "gateway/ws.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#define MESSAGE_MAX (16u << 20)
#define LARGE_BYTES (256 << 10)

struct options {
    uint32_t port; /* 0: any free one */
    bool has_compression;
};

static void on_message(void *ctx, bool is_text, struct slice payload)
{
    struct conn *c = ctx;
    uint8_t *out;
    struct blob *frame = ws_frame_new(is_text ? WS_TEXT : WS_BINARY, payload.len, &out);

    if (!frame) {
        conn_close(c, WS_CLOSE_TRY_LATER, "out of memory");
        return;
    }
    if (payload.len > 0)
        memcpy(out, payload.data, payload.len);
    conn_send_new(c, frame);
}

static void on_nothing(void *ctx)
{
    (void)ctx; /* no frame is shared, and nothing is done from time to time */
}

static void on_end(void *ctx)
{
    (void)ctx; /* the connection is its own context */
}

static const struct conn_owner owner = {
    .on_message = on_message,
    .on_behind = on_nothing,
    .on_caught_up = on_nothing,
    .on_tick = on_nothing,
    .on_end = on_end,
};

static void on_request(void *ctx, struct conn *c, const struct http_request *req)
{
    char accept[HTTP_ACCEPT_LEN + 1];
    unsigned status = http_check_websocket(req, accept);
    struct http_answer answer = {
        .status = status,
        .is_last = true,
        .extra = status == 426   ? HTTP_UPGRADE_LINES
                 : status == 405 ? "Allow: GET\r\n"
                                 : NULL,
    };

    (void)ctx;
    if (status == 101)
        conn_accept(c, accept, NULL, &owner, c);
    else
        conn_answer(c, &answer, NULL);
}

static unsigned on_head(void *ctx, struct conn *c, const struct http_request *req, size_t *ret_max)
{
    (void)ctx;
    (void)c;
    (void)req;
    (void)ret_max;
    return 400; /* no request has a body */
}

/* Nothing but the bytes. */
static const struct stream_setup plain;

static const struct conn_handler handler = {.on_head = on_head, .on_request = on_request};

static void on_accept(void *ctx, int fd)
{
    conn_start(ctx, fd);
}

static void on_terminate(void *ctx)
{
    loop_stop(ctx, 0);
}

/* Returns whether the arguments are good. */
static bool read_options(int argc, char **argv, struct options *ret)
{
    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        char end;
        if (strcmp(argv[i], "--compression") == 0 && strcmp(value, "on") == 0)
            ret->has_compression = true;
        else if (strcmp(argv[i], "--compression") == 0 && strcmp(value, "off") == 0)
            ret->has_compression = false;
        else if (strcmp(argv[i], "--port") != 0 ||
                 sscanf(value, "%" SCNu32 "%c", &ret->port, &end) != 1 || ret->port > 65535)
            return false;
    }
    return true;
}

/* Of bounds only those of memory. */
static const struct client_limits limits = {
    .head_bytes = 8192,
    .head_ms = 5000,
    .fragments = 4096,
    .queue_bytes = 64 << 20,
};

static struct conns_setup setup = {
    .stream = &plain,
    .limits = &limits,
    .message_max = MESSAGE_MAX,
    .handler = &handler,
};

static int serve(struct loop *loop, const struct options *options)
{
    struct listener *listener = NULL;
    setup.limiter = limiter_new(&limits, NULL);
    struct conns *conns = conns_new(loop, &setup);
    int status = 1;

    if (options->has_compression)
        conns_allow_compression(conns);
    loop_on_terminate(loop, on_terminate, loop);
    int r = listener_new(loop, "127.0.0.1", options->port, on_accept, conns, &listener);
    if (r == 0) {
        printf("port %u\n", listener_port(listener));
        (void)fflush(stdout);
        status = loop_run(loop);
    } else {
        (void)fprintf(stderr, "ws_echo: cannot listen on port %u: %s\n", options->port,
                      strerror(-r));
    }
    listener_free(listener);
    conns_free(conns);
    limiter_free(setup.limiter);
    return status;
}

int main(int argc, char **argv)
{
    struct options options = {0};

    if (!read_options(argc, argv, &options)) {
        (void)fprintf(stderr, "usage: ws_echo [--port N] [--compression on|off]\n");
        return 2;
    }
    log_init("ws_echo", LOG_LEVEL_INFO);
    (void)mallopt(M_MMAP_THRESHOLD, LARGE_BYTES); /* as the gateway does */
    struct loop *loop = loop_new();
    int status = serve(loop, &options);
    loop_free(loop);
    return status;
}
