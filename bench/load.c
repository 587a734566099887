/*
 * Many y-websocket clients in one cheap process, for benchmarks of a server: what they measure
 * should be the server and not the client. Prints one line of JSON.
 *
 *     load join PORT ROOM CLIENTS
 *         clients with nothing join one room at once; each reads its document and throws it away
 *     load edit PORT PREFIX ROOMS RATE SECONDS
 *         a writer in each of the rooms PREFIX0, PREFIX1, …; together they make RATE edits a
 *         second, of one letter each, on the schedule and not after each other, and wait for the
 *         echo that acknowledges each
 *
 * Times are in microseconds.
 */
#include "common/memory.h"
#include "common/txq.h"
#include "crdt/lib0.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

#define READ_BYTES  (256u << 10)
#define HEAD_MAX    4096u
#define PEEK_MAX    125u /* payload bytes that tell what a frame is */
#define EDITOR_ID   (UINT64_C(1) << 32)
#define PATIENCE_US 60000000u
#define OPENING_MAX 50u /* rooms that are asked for at once */

enum client_state {
    CLIENT_HANDSHAKE,
    CLIENT_FRAME_HEAD,
    CLIENT_FRAME_BODY,
};

struct client {
    struct bench *bench;
    int fd;
    enum client_state state;
    struct event *on_read;
    struct event *on_write;
    struct txq out;
    uint8_t head[HEAD_MAX]; /* of the answer to the handshake, or of a frame */
    size_t head_len;
    uint8_t peek[PEEK_MAX];
    size_t peek_len;
    uint64_t body_left;
    bool is_ready;   /* join: synced; edit: connected */
    uint64_t number; /* of the client */
    uint64_t clock;
    uint64_t *sent_us; /* edits that were not acknowledged: a ring */
    uint32_t sent_head;
    uint32_t sent_count;
    uint32_t sent_cap;
};

struct bench {
    struct event_base *base;
    bool is_join;
    uint16_t port;
    const char *room; /* edit: what the names of the rooms begin with */
    struct client *clients;
    size_t client_count;
    size_t started_count;
    size_t ready_count;
    uint64_t start_us;
    uint64_t bytes; /* received */

    uint64_t rate; /* edits a second */
    uint64_t edits;
    uint64_t sent;
    uint64_t acknowledged;
    uint32_t *times_us; /* of what is measured, `time_count` of them */
    size_t time_count;
    uint64_t late_us; /* the worst that we were behind the schedule */
    uint64_t end_us;
    struct event *on_schedule;
    uint8_t buffer[READ_BYTES];
};

static uint64_t now_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void fail(const char *what)
{
    (void)fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void note_time(struct bench *b, uint64_t us)
{
    b->times_us[b->time_count++] = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

/* ---- output ---- */

static void flush(struct client *c)
{
    int r = txq_flush(&c->out, c->fd);

    if (r < 0)
        fail("a client cannot write");
    if (r == 0)
        (void)event_add(c->on_write, NULL);
}

static void on_writable(evutil_socket_t fd, short what, void *ctx)
{
    (void)fd;
    (void)what;
    flush(ctx);
}

static void send_bytes(struct client *c, const void *bytes, size_t len)
{
    struct blob *b = blob_copy(slice_of(bytes, len));

    txq_push(&c->out, b);
    blob_unref(b);
    flush(c);
}

/* A frame with a mask of zeros; short ones only. */
static void send_frame(struct client *c, const uint8_t *payload, size_t len)
{
    uint8_t frame[6 + 125] = {0x82, (uint8_t)(0x80 | len)};

    memcpy(frame + 6, payload, len);
    send_bytes(c, frame, 6 + len);
}

/* ---- edits ---- */

static void push_sent(struct client *c, uint64_t us)
{
    if (c->sent_count == c->sent_cap) {
        uint32_t cap = c->sent_cap ? 2 * c->sent_cap : 64;
        uint64_t *ring = xmalloc(cap * sizeof(*ring));
        for (uint32_t i = 0; i < c->sent_count; i++)
            ring[i] = c->sent_us[(c->sent_head + i) % c->sent_cap];
        free(c->sent_us);
        c->sent_us = ring;
        c->sent_cap = cap;
        c->sent_head = 0;
    }
    c->sent_us[(c->sent_head + c->sent_count++) % c->sent_cap] = us;
}

/* One letter behind the client's last one, in the root `body`. */
static size_t encode_edit(struct client *c, uint8_t out[64])
{
    uint64_t id = EDITOR_ID + c->number;
    uint8_t update[48] = {1, 1};
    uint8_t *p = lib0_put_uint(update + 2, id);

    p = lib0_put_uint(p, c->clock);
    if (c->clock > 0) {
        *p++ = 0x84;
        p = lib0_put_uint(p, id);
        p = lib0_put_uint(p, c->clock - 1);
    } else {
        memcpy(p, "\4\1\4body", 7);
        p += 7;
    }
    memcpy(p, "\1x\0", 3);
    p += 3;
    c->clock++;
    out[0] = 0; /* sync */
    out[1] = 2; /* update */
    out[2] = (uint8_t)(p - update);
    memcpy(out + 3, update, (size_t)(p - update));
    return 3 + (size_t)(p - update);
}

static void arm_schedule(struct bench *b)
{
    struct timeval soon = {.tv_usec = 500};

    if (event_add(b->on_schedule, &soon) < 0)
        fail("timer");
}

static void on_schedule(evutil_socket_t fd, short what, void *ctx)
{
    struct bench *b = ctx;
    uint64_t now = now_us();
    uint8_t edit[64];

    (void)fd;
    (void)what;
    while (b->sent < b->edits) {
        uint64_t due = b->start_us + b->sent * 1000000 / b->rate;
        if (due > now)
            break;
        struct client *c = &b->clients[b->sent % b->client_count];
        b->late_us = now - due > b->late_us ? now - due : b->late_us;
        push_sent(c, due);
        send_frame(c, edit, encode_edit(c, edit));
        b->sent++;
    }
    if (b->sent < b->edits)
        arm_schedule(b);
}

static void note_echo(struct client *c)
{
    struct bench *b = c->bench;

    if (c->sent_count == 0)
        return;
    note_time(b, now_us() - c->sent_us[c->sent_head % c->sent_cap]);
    c->sent_head = (c->sent_head + 1) % c->sent_cap;
    c->sent_count--;
    if (++b->acknowledged == b->edits) {
        b->end_us = now_us();
        (void)event_base_loopbreak(b->base);
    }
}

/* ---- input ---- */

static void start_client(struct bench *b);

static void note_ready(struct client *c)
{
    struct bench *b = c->bench;

    if (c->is_ready)
        return;
    c->is_ready = true;
    b->ready_count++;
    if (b->is_join)
        note_time(b, now_us() - b->start_us);
    if (b->started_count < b->client_count)
        start_client(b);
    if (b->ready_count < b->client_count)
        return;
    b->end_us = now_us();
    if (b->is_join) {
        (void)event_base_loopbreak(b->base);
    } else {
        b->start_us = now_us();
        arm_schedule(b);
    }
}

static void handle_frame(struct client *c)
{
    bool is_sync = c->peek_len >= 2 && c->peek[0] == 0;

    if ((c->head[0] & 0x0f) == 8) {
        (void)fprintf(stderr, "load: the server closed a client: %.*s\n", (int)c->peek_len - 2,
                      (const char *)c->peek + 2);
        exit(1);
    }
    if ((c->head[0] & 0x0f) != 2 || !is_sync)
        return;
    if (c->peek[1] == 1)
        note_ready(c);
    else if (c->peek[1] == 2 && !c->bench->is_join)
        note_echo(c);
}

static void handle_handshake(struct client *c)
{
    static const uint8_t ask_all[] = {0, 0, 1, 0};

    if (memcmp(c->head, "HTTP/1.1 101 ", 13) != 0) {
        errno = EPROTO;
        fail("the server takes no WebSocket");
    }
    send_frame(c, ask_all, sizeof(ask_all));
}

/* Bytes that the head of the frame has, as far as they tell. */
static size_t frame_head_len(const struct client *c)
{
    if (c->head_len < 2)
        return 2;
    return c->head[1] < 126 ? 2 : c->head[1] == 126 ? 4 : 10;
}

static uint64_t frame_body_len(const struct client *c)
{
    uint64_t len = 0;

    if (c->head[1] < 126)
        return c->head[1];
    for (size_t i = 2; i < c->head_len; i++)
        len = len << 8 | c->head[i];
    return len;
}

static void begin(struct client *c, enum client_state state)
{
    c->state = state;
    if (state == CLIENT_FRAME_HEAD)
        c->head_len = 0;
    else
        c->peek_len = 0;
}

/* Takes some of the bytes; returns how many. */
static size_t take(struct client *c, const uint8_t *data, size_t len)
{
    size_t n = 1;

    switch (c->state) {
    case CLIENT_HANDSHAKE:
        if (c->head_len == HEAD_MAX)
            fail("the answer to the handshake is too long");
        c->head[c->head_len++] = data[0];
        if (c->head_len >= 4 && memcmp(c->head + c->head_len - 4, "\r\n\r\n", 4) == 0) {
            handle_handshake(c);
            begin(c, CLIENT_FRAME_HEAD);
        }
        break;
    case CLIENT_FRAME_HEAD:
        c->head[c->head_len++] = data[0];
        if (c->head_len < frame_head_len(c))
            break;
        c->body_left = frame_body_len(c);
        begin(c, CLIENT_FRAME_BODY);
        if (c->body_left == 0)
            begin(c, CLIENT_FRAME_HEAD);
        break;
    case CLIENT_FRAME_BODY:
        n = len < c->body_left ? len : c->body_left;
        for (size_t i = 0; i < n && c->peek_len < PEEK_MAX; i++)
            c->peek[c->peek_len++] = data[i];
        c->body_left -= n;
        if (c->body_left == 0) {
            handle_frame(c);
            begin(c, CLIENT_FRAME_HEAD);
        }
        break;
    }
    return n;
}

static void on_readable(evutil_socket_t fd, short what, void *ctx)
{
    struct client *c = ctx;
    struct bench *b = c->bench;
    ssize_t n = recv(fd, b->buffer, READ_BYTES, MSG_DONTWAIT);

    (void)what;
    if (n == 0)
        errno = ECONNRESET;
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        fail("a client has lost its connection");
    b->bytes += n > 0 ? (uint64_t)n : 0;
    for (ssize_t at = 0; at < n;)
        at += (ssize_t)take(c, b->buffer + at, (size_t)(n - at));
}

/* ---- life ---- */

static void start_client(struct bench *b)
{
    size_t i = b->started_count++;
    struct client *c = &b->clients[i];
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons(b->port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    char *room CLEANUP_FREE = b->is_join ? xstrdup(b->room) : xasprintf("%s%zu", b->room, i);
    char *request CLEANUP_FREE =
        xasprintf("GET /yjs/%s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                  "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                  room);

    c->bench = b;
    c->number = i;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
        fail("a client cannot connect");
    (void)evutil_make_socket_nonblocking(c->fd);
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    c->on_read = event_new(b->base, c->fd, EV_READ | EV_PERSIST, on_readable, c);
    c->on_write = event_new(b->base, c->fd, EV_WRITE, on_writable, c);
    if (!c->on_read || !c->on_write || event_add(c->on_read, NULL) < 0)
        fail("event");
    send_bytes(c, request, strlen(request));
}

static void run(struct bench *b)
{
    uint64_t patience_us = PATIENCE_US + (b->rate ? b->edits * 1000000 / b->rate : 0);
    struct timeval limit = {.tv_sec = (time_t)(patience_us / 1000000)};

    (void)event_base_loopexit(b->base, &limit);
    (void)event_base_dispatch(b->base);
    if (b->end_us == 0)
        b->end_us = now_us();
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;

    return x < y ? -1 : x > y;
}

static uint32_t quantile(const struct bench *b, double q)
{
    size_t i = (size_t)((double)b->time_count * q);

    return b->time_count == 0 ? 0 : b->times_us[i < b->time_count ? i : b->time_count - 1];
}

static void print(struct bench *b)
{
    qsort(b->times_us, b->time_count, sizeof(*b->times_us), compare);
    (void)printf("{\"clients\":%zu,\"ready\":%zu,\"bytes\":%" PRIu64 ",\"sent\":%" PRIu64
                 ",\"acknowledged\":%" PRIu64 ",\"late\":%" PRIu64 ",\"total\":%" PRIu64
                 ",\"p50\":%u,\"p99\":%u,\"max\":%u}\n",
                 b->client_count, b->ready_count, b->bytes, b->sent, b->acknowledged, b->late_us,
                 b->end_us - b->start_us, quantile(b, 0.5), quantile(b, 0.99), quantile(b, 1));
}

static struct bench *new_bench(size_t clients)
{
    struct bench *b = xcalloc(1, sizeof(*b));

    b->base = event_base_new();
    b->client_count = clients;
    b->clients = xcalloc(clients, sizeof(*b->clients));
    b->on_schedule = b->base ? event_new(b->base, -1, 0, on_schedule, b) : NULL;
    if (!b->on_schedule)
        fail("libevent");
    return b;
}

static int usage(void)
{
    (void)fprintf(stderr, "usage: load join PORT ROOM CLIENTS\n"
                          "       load edit PORT PREFIX ROOMS RATE SECONDS\n");
    return 2;
}

int main(int argc, char **argv)
{
    struct rlimit files = {.rlim_cur = 65536, .rlim_max = 65536};
    bool is_join = argc == 5 && strcmp(argv[1], "join") == 0;
    bool is_edit = argc == 7 && strcmp(argv[1], "edit") == 0;

    if (!is_join && !is_edit)
        return usage();
    (void)setrlimit(RLIMIT_NOFILE, &files);
    struct bench *b = new_bench(strtoul(argv[4], NULL, 10));
    b->is_join = is_join;
    b->port = (uint16_t)strtoul(argv[2], NULL, 10);
    b->room = argv[3];
    if (is_edit) {
        b->rate = strtoul(argv[5], NULL, 10);
        b->edits = b->rate * strtoul(argv[6], NULL, 10);
    }
    if (b->client_count == 0 || (is_edit && b->edits == 0))
        return usage();
    b->times_us = xcalloc(b->client_count + b->edits, sizeof(*b->times_us));
    b->start_us = now_us();
    while (b->started_count < b->client_count && (is_join || b->started_count < OPENING_MAX))
        start_client(b);
    run(b);
    print(b);
    return 0;
}
