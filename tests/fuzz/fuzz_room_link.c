/*
 * A hostile room: what it sends to a gateway, with clients of every kind in it. The gateway is a
 * real one, in this process; roomd, the room and the clients are played. Whatever comes, the
 * gateway goes on, and lets go of clients and room when they go.
 *
 * Inputs are as fuzz_ipc.h says. No search finds the numbers of sessions: "SESSION0" to "SESSION3"
 * stand for those of the clients, in the order in which they join.
 */
#include "fuzz_ipc.h"

#include "common/config.h"
#include "common/names.h"
#include "common/segment.h"
#include "gateway/gateway.h"
#include "proto/proto.h"
#include "proto/refusal.h"

#include <arpa/inet.h>
#include <fcntl.h>

#define CLIENTS 4

static const char *const requests[CLIENTS] = {"/yjs/r", "/rooms/r/ws", "/rooms/r/ws?data=ops",
                                              "/hocuspocus"};

static struct {
    struct loop *loop;
    struct gateway *gateway;
    uint16_t port;
    struct ipc *roomd;
    struct ipc *room; /* our end of the link; NULL: it is not open */
    int room_fd;      /* the same once more, to write what is no frame */
    bool has_link;    /* of this input: the next is refused */
    uint64_t sessions[CLIENTS];
    unsigned session_count;
} world = {.room_fd = -1};

/* ---- roomd and the room ---- */

static int handle_session_join(void *ctx, const struct msg_session_join *m)
{
    (void)ctx;
    if (world.session_count < CLIENTS)
        world.sessions[world.session_count++] = m->session;
    return 0;
}

PROTO_ROUTE_FN(session_join, void, handle_session_join)

static const struct proto_route room_routes[] = {PROTO_ROUTE(session_join, SESSION_JOIN)};

static void on_room_frame(void *ctx, struct slice body)
{
    if (proto_code_of(body) == PROTO_SESSION_JOIN)
        CHECK(proto_dispatch(room_routes, 1, ctx, body) == 0);
}

static void close_room(void)
{
    ipc_close(world.room);
    world.room = NULL;
    if (world.room_fd >= 0)
        (void)close(world.room_fd);
    world.room_fd = -1;
}

static void on_room_end(void *ctx, int error)
{
    (void)ctx;
    CHECK(error != -EBADMSG);
    close_room();
}

static const struct ipc_handler room_handler = {.on_frame = on_room_frame, .on_end = on_room_end};

static int handle_room_open(void *ctx, const struct msg_room_open *m)
{
    struct msg_room_refused refused = {.request = m->request, .refusal = REFUSAL_UNAVAILABLE};
    struct msg_room_opened opened = {.request = m->request};
    int fds[2];

    (void)ctx;
    if (world.has_link) {
        ipc_send_new(world.roomd, proto_encode_room_refused(&refused));
        return 0;
    }
    world.has_link = true;
    CHECK(ipc_pair(fds) == 0);
    ipc_send_fd(world.roomd, proto_encode_room_opened(&opened), fds[1]);
    world.room_fd = dup(fds[0]);
    CHECK(world.room_fd >= 0);
    world.room = ipc_new(world.loop, fds[0], &room_handler, NULL);
    return 0;
}

PROTO_ROUTE_FN(room_open, void, handle_room_open)

static const struct proto_route roomd_routes[] = {PROTO_ROUTE(room_open, ROOM_OPEN)};

static void on_roomd_frame(void *ctx, struct slice body)
{
    CHECK(proto_dispatch(roomd_routes, 1, ctx, body) == 0);
}

static void on_roomd_end(void *ctx, int error)
{
    (void)ctx;
    (void)error;
    CHECK(!"the gateway gives its supervisor up");
}

static const struct ipc_handler roomd_handler = {.on_frame = on_roomd_frame,
                                                 .on_end = on_roomd_end};

static void on_accept(void *ctx, int fd)
{
    (void)ctx;
    world.roomd = ipc_new(world.loop, fd, &roomd_handler, NULL);
}

/* ---- the world ---- */

static void turn(void)
{
    loop_turn(world.loop);
}

/* What the room has published: nothing. */
static void make_segment(const struct config *config)
{
    char hash[NAME_HASH_HEX + 1];
    struct segment *segment;
    uint8_t nothing[] = {0, 0};

    CHECK(config_make_run(config) == 0);
    name_hash(slice_str("default"), slice_str("r"), hash);
    char *dir CLEANUP_FREE = config_rooms_dir(config);
    char *path CLEANUP_FREE = xasprintf("%s/%s", dir, hash);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && segment_create(fd, slice_str("default"), slice_str("r"), 0,
                                    slice_of(nothing, sizeof(nothing)), &segment) == 0);
    segment_free(segment);
}

static uint16_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &(int){1}, sizeof(int)) == 0);
    CHECK(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&address, &len) == 0);
    /* It stays bound, for nobody else to take it. */
    return ntohs(address.sin_port);
}

static void make_world(void)
{
    static struct config config;
    char port[8];
    int rest;

    fuzz_make_dir();
    world.port = free_port();
    (void)snprintf(port, sizeof(port), "%u", world.port);
    char *argv[] = {"--run",
                    fuzz_dir,
                    "--data",
                    fuzz_dir,
                    "--port",
                    port,
                    "--log-level",
                    "error",
                    "--limit-handshakes-address",
                    "0"};
    CHECK(config_parse(&config, sizeof(argv) / sizeof(argv[0]), argv, &rest) == 0);
    log_init("gateway", config.log_level);
    make_segment(&config);
    world.loop = loop_new();
    char *path CLEANUP_FREE = config_roomd_socket(&config);
    CHECK(ipc_listen(world.loop, path, on_accept, NULL) == 0);
    CHECK(gateway_new(world.loop, &config, &world.gateway) == 0);
    for (int i = 0; i < TURNS_MAX && !world.roomd; i++)
        turn();
    CHECK(world.roomd);
}

/* ---- clients ---- */

/* Ports that were used wait for a minute: each connection comes from another address. */
static void bind_somewhere(int fd)
{
    static uint32_t next;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(0x7f010000u + next++ % 0xfe0000u)};

    CHECK(setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &(int){1}, sizeof(int)) == 0);
    CHECK(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
}

static int dial(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(world.port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    bind_somewhere(fd);
    /* libFuzzer has a timer, whose signal may come in between. */
    while (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0 && errno != EISCONN)
        CHECK(errno == EINTR || errno == EALREADY);
    CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    return fd;
}

static void tell(int fd, const void *bytes, size_t len)
{
    (void)!send(fd, bytes, len, MSG_NOSIGNAL);
}

static int join(unsigned kind)
{
    /* A question, behind the key of a document where there are several. */
    static const uint8_t ask[] = {0x82, 0x84, 0, 0, 0, 0, 0, 0, 1, 0};
    static const uint8_t ask_doc[] = {0x82, 0x86, 0, 0, 0, 0, 1, 'r', 0, 0, 1, 0};
    int fd = dial();
    char *request CLEANUP_FREE =
        xasprintf("GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                  "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                  requests[kind]);

    tell(fd, request, strlen(request));
    if (kind == 0)
        tell(fd, ask, sizeof(ask));
    else if (kind == 3)
        tell(fd, ask_doc, sizeof(ask_doc));
    return fd;
}

static void expect_life(void)
{
    static const char request[] = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    int fd = dial();
    char answer[16];
    ssize_t n = -1;

    tell(fd, request, sizeof(request) - 1);
    for (int i = 0; i < TURNS_MAX && n < 0; i++) {
        turn();
        n = recv(fd, answer, sizeof(answer), MSG_DONTWAIT);
    }
    CHECK(n > 12 && memcmp(answer, "HTTP/1.1 200", 12) == 0);
    (void)close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int clients[CLIENTS];

    if (size == 0)
        return 0;
    if (!world.loop)
        make_world();
    world.has_link = false;
    world.session_count = 0;
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = join(i);
        for (int k = 0; k < TURNS_MAX && world.session_count == i; k++)
            turn();
    }
    CHECK(world.session_count == CLIENTS && world.room);

    uint8_t *copy = malloc(size);
    CHECK(copy);
    memcpy(copy, data, size);
    for (unsigned i = 0; i < CLIENTS; i++) {
        char name[] = {'S', 'E', 'S', 'S', 'I', 'O', 'N', (char)('0' + i)};
        fuzz_name_number(copy, size, name, world.sessions[i]);
    }
    fuzz_send_input(world.loop, world.room_fd, copy, size);
    free(copy);

    expect_life();
    for (unsigned i = 0; i < CLIENTS; i++)
        (void)close(clients[i]);
    /* The last one closes the link, if the room has not lost it by then. */
    for (int i = 0; i < TURNS_MAX && world.room; i++)
        turn();
    CHECK(!world.room);
    expect_life();
    return 0;
}
