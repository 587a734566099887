#include "harness.h"

#include "common/config.h"
#include "common/ipc.h"
#include "common/loop.h"
#include "common/names.h"
#include "crdt/lib0.h"
#include "gateway/gateway.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#define PATIENCE_S 10
#define QUIET_MS   100

/* ---- the gateway ---- */

static void set_patience(int fd)
{
    struct timeval t = {.tv_sec = PATIENCE_S};

    cr_assert(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)) == 0);
    cr_assert(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t)) == 0);
}

/* A port that stays ours until the gateway shares it: bound, not listening. */
static int reserve_port(uint32_t *ret_port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &(int){1}, sizeof(int)) == 0);
    cr_assert(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) == 0);
    cr_assert(bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0);
    cr_assert(getsockname(fd, (struct sockaddr *)&addr, &len) == 0);
    *ret_port = ntohs(addr.sin_port);
    return fd;
}

static int run_gateway(char **argv, int argc)
{
    struct config config;
    struct gateway *gateway = NULL;
    int rest;
    int status = 1;

    if (config_parse(&config, argc, argv, &rest) < 0)
        return 2;
    log_init("gateway", config.log_level);
    struct loop *loop = loop_new();
    if (gateway_new(loop, &config, &gateway) == 0)
        status = loop_run(loop);
    gateway_free(gateway);
    loop_free(loop);
    config_done(&config);
    return status;
}

static void write_page(const char *dir)
{
    char *path = xasprintf("%s/index.html", dir);
    FILE *f = fopen(path, "w");

    cr_assert(f);
    (void)fputs("<p>hello\n", f);
    (void)fclose(f);
    free(path);
}

void harness_start(struct gateway_under_test *g)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct config config = {.run = g->dir};
    char port[16];
    char bytes[16];

    (void)strcpy(g->dir, "/tmp/gateway-test-XXXXXX");
    cr_assert(mkdtemp(g->dir));
    write_page(g->dir);
    int reserved = reserve_port(&g->port);
    (void)snprintf(port, sizeof(port), "%u", g->port);
    (void)snprintf(bytes, sizeof(bytes), "%u", MESSAGE_BYTES);
    char *path = config_roomd_socket(&config);
    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
    free(path);
    g->roomd_listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(bind(g->roomd_listener, (struct sockaddr *)&addr, sizeof(addr)) == 0);
    cr_assert(listen(g->roomd_listener, 4) == 0);
    set_patience(g->roomd_listener);

    char *argv[] = {"--run", g->dir, "--data", g->dir, "--web", g->dir, "--port", port, "--host",
                    "127.0.0.1", "--log-level", "error", "--message-bytes", bytes, "--drain-ms",
                    "0",
                    /* Pings make turns here, without end. */
                    "--limit-control-frames-per-s", "0"};
    g->pid = fork();
    if (g->pid == 0) {
        (void)close(g->roomd_listener);
        /* Not to outlive a test that fails. */
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        exit(run_gateway(argv, sizeof(argv) / sizeof(argv[0])));
    }
    harness_accept_roomd(g);
    (void)close(reserved);
}

void harness_accept_roomd(struct gateway_under_test *g)
{
    g->roomd = accept(g->roomd_listener, NULL, NULL);
    cr_assert(g->roomd >= 0, "the gateway does not come: %s", strerror(errno));
    set_patience(g->roomd);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void harness_stop(struct gateway_under_test *g)
{
    int status = -1;

    cr_assert(kill(g->pid, SIGTERM) == 0);
    cr_assert(waitpid(g->pid, &status, 0) == g->pid);
    cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "ended with %x", (unsigned)status);
    (void)close(g->roomd);
    (void)close(g->roomd_listener);
    (void)nftw(g->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- reading ---- */

/* Reads `len` bytes; false at the end of the stream before the first. */
static bool read_all(int fd, void *out, size_t len)
{
    for (size_t got = 0; got < len;) {
        ssize_t n = recv(fd, (char *)out + got, len - got, 0);
        if (n == 0 && got == 0)
            return false;
        cr_assert(n > 0, "%zu of %zu bytes came: %s", got, len, n < 0 ? strerror(errno) : "end");
        got += (size_t)n;
    }
    return true;
}

static void write_all(int fd, const void *bytes, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = send(fd, (const char *)bytes + done, len - done, MSG_NOSIGNAL);
        cr_assert(n > 0, "%zu of %zu bytes went: %s", done, len, strerror(errno));
        done += (size_t)n;
    }
}

static bool has_ended(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, 0);

    return n == 0 || (n < 0 && errno == ECONNRESET);
}

/* ---- rooms and roomd ---- */

struct slice peer_expect(int fd, enum proto_code code, struct blob **ret_body)
{
    uint8_t head[4];

    cr_assert(read_all(fd, head, sizeof(head)), "the end, not %s", proto_name((int)code));
    size_t len = head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;
    struct blob *body = blob_new(len);
    cr_assert(read_all(fd, body->data, len));
    int got = proto_code_of(blob_slice(body));
    cr_assert(got == (int)code, "%s, not %s", proto_name(got), proto_name((int)code));
    *ret_body = body;
    return blob_slice(body);
}

bool peer_is_quiet(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    return poll(&p, 1, QUIET_MS) == 0;
}

bool peer_has_ended(int fd)
{
    return has_ended(fd);
}

void peer_send(int fd, struct blob *frame)
{
    write_all(fd, frame->data, frame->len);
    blob_unref(frame);
}

bool peer_try_send(int fd, struct blob *frame)
{
    ssize_t n = 1;

    for (size_t done = 0; n > 0 && done < frame->len; done += (size_t)n)
        n = send(fd, frame->data + done, frame->len - done, MSG_NOSIGNAL);
    blob_unref(frame);
    cr_assert(n > 0 || errno == EPIPE || errno == ECONNRESET, "%s", strerror(errno));
    return n > 0;
}

void peer_send_fd(int fd, struct blob *frame, int passed)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec iov = {frame->data, frame->len};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &passed, sizeof(int));
    cr_assert(sendmsg(fd, &msg, MSG_NOSIGNAL) == (ssize_t)frame->len);
    blob_unref(frame);
    (void)close(passed);
}

int roomd_open_room_only(struct gateway_under_test *g, const char *room, int64_t seen_seq)
{
    int pair[2];

    PEER_EXPECT(g->roomd, room_open, ROOM_OPEN, asked)
    cr_assert(slice_equal(asked.room, slice_str(room)));
    cr_assert(asked.tenant.len > 0);
    cr_assert(ipc_pair(pair) == 0);
    set_patience(pair[0]);
    peer_send_fd(g->roomd,
                 proto_encode_room_opened(&(struct msg_room_opened){.request = asked.request}),
                 pair[1]);
    PEER_EXPECT(pair[0], link_open, LINK_OPEN, opened)
    cr_expect(opened.has_seen == (seen_seq >= 0));
    cr_expect(!opened.has_seen || opened.seen_seq == (uint64_t)seen_seq);
    return pair[0];
}

void room_subscribe(int room)
{
    PEER_SEND(room, link_welcome, .lineage = 1);
}

int roomd_open_room(struct gateway_under_test *g, const char *room, int64_t seen_seq)
{
    int fd = roomd_open_room_only(g, room, seen_seq);

    room_subscribe(fd);
    return fd;
}

uint64_t room_expect_join(int room, uint32_t format)
{
    PEER_EXPECT(room, session_join, SESSION_JOIN, join)
    cr_expect(join.format == format);
    cr_expect(join.session != 0);
    return join.session;
}

/* ---- segments ---- */

struct segment *room_segment(const struct gateway_under_test *g, const char *room,
                             uint64_t base_seq, struct slice checkpoint)
{
    struct config config = {.run = (char *)g->dir};
    char hash[NAME_HASH_HEX + 1];
    struct segment *segment;

    cr_assert(config_make_run(&config) == 0);
    name_hash(slice_str("default"), slice_str(room), hash);
    char *dir CLEANUP_FREE = config_rooms_dir(&config);
    char *path CLEANUP_FREE = xasprintf("%s/%s", dir, hash);
    char *next CLEANUP_FREE = xasprintf("%s.next", path);
    int fd = open(next, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    cr_assert(fd >= 0, "%s: %s", next, strerror(errno));
    cr_assert(segment_create(fd, slice_str("default"), slice_str(room), base_seq, checkpoint,
                             &segment) == 0);
    cr_assert(rename(next, path) == 0);
    return segment;
}

void segment_add(struct segment *segment, uint64_t seq, struct slice update)
{
    struct segment_record r = {.seq = seq, .kind = SEGMENT_UPDATE_V1, .payload = update};

    cr_assert(segment_append(segment, &r, 1) == 0);
}

struct blob *text_update(uint64_t client, uint64_t clock, char letter, size_t len)
{
    struct crdt_buf buf = {0};
    char *text CLEANUP_FREE = xmalloc(len);

    memset(text, letter, len);
    lib0_write_uint(&buf, 1); /* client */
    lib0_write_uint(&buf, 1); /* struct */
    lib0_write_uint(&buf, client);
    lib0_write_uint(&buf, clock);
    lib0_write_u8(&buf, clock > 0 ? 0x84 : 4); /* a string, with its left neighbour if it has one */
    if (clock > 0) {
        lib0_write_uint(&buf, client);
        lib0_write_uint(&buf, clock - 1);
    } else {
        lib0_write_uint(&buf, 1); /* in a root */
        lib0_write_slice(&buf, "t", 1);
    }
    lib0_write_slice(&buf, text, len);
    lib0_write_uint(&buf, 0); /* deletions */
    struct blob *update = blob_copy(slice_of(buf.data, buf.len));
    crdt_buf_done(&buf);
    return update;
}

/* ---- clients ---- */

int client_connect(const struct gateway_under_test *g)
{
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)g->port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    cr_assert(connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0, "%s", strerror(errno));
    set_patience(fd);
    return fd;
}

void client_write(int fd, const void *bytes, size_t len)
{
    write_all(fd, bytes, len);
}

unsigned client_request(int fd, const char *request)
{
    char head[4096] = "";
    size_t len = 0;
    unsigned status = 0;

    write_all(fd, request, strlen(request));
    while (len < sizeof(head) - 1 && !strstr(head, "\r\n\r\n"))
        cr_assert(read_all(fd, head + len++, 1));
    cr_assert(sscanf(head, "HTTP/1.1 %u ", &status) == 1, "%s", head);
    return status;
}

int client_open(const struct gateway_under_test *g, const char *path)
{
    int fd = client_connect(g);
    char *request = xasprintf("GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                              "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                              "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                              path);

    cr_assert(client_request(fd, request) == 101);
    free(request);
    return fd;
}

void client_send(int fd, uint8_t opcode, const void *payload, size_t len)
{
    uint8_t *frame = calloc(1, 14 + len);
    size_t n = 2;

    frame[0] = (uint8_t)(0x80 | opcode);
    frame[1] = (uint8_t)(0x80 | (len < 126 ? len : len <= 0xffff ? 126 : 127));
    for (int i = len < 126 ? -1 : len <= 0xffff ? 1 : 7; i >= 0; i--)
        frame[n++] = (uint8_t)((uint64_t)len >> 8 * i);
    n += 4; /* a mask of zeros */
    memcpy(frame + n, payload, len);
    write_all(fd, frame, n + len);
    free(frame);
}

static uint8_t receive_frame(int fd, struct blob **ret_payload)
{
    uint8_t head[10];
    uint64_t len;

    cr_assert(read_all(fd, head, 2), "the end, not a frame");
    cr_assert(head[0] & 0x80);
    len = head[1];
    size_t extended = len < 126 ? 0 : len == 126 ? 2 : 8;
    cr_assert(extended == 0 || read_all(fd, head + 2, extended));
    for (size_t i = 0; i < extended; i++)
        len = (i == 0 ? 0 : len << 8) | head[2 + i];
    *ret_payload = blob_new(len);
    cr_assert(len == 0 || read_all(fd, (*ret_payload)->data, len));
    return head[0] & 0x0f;
}

uint8_t client_receive(int fd, struct blob **ret_payload)
{
    uint8_t opcode;

    while ((opcode = receive_frame(fd, ret_payload)) == 9)
        blob_unref(*ret_payload);
    return opcode;
}

void client_expect(int fd, uint8_t opcode, const void *payload, size_t len)
{
    struct blob *got CLEANUP_BLOB = NULL;
    uint8_t got_opcode = client_receive(fd, &got);

    cr_expect(got_opcode == opcode, "opcode %u, not %u", got_opcode, opcode);
    cr_expect(slice_equal(blob_slice(got), slice_of(payload, len)), "%zu bytes: %.*s", got->len,
              (int)got->len, (const char *)got->data);
}

void client_expect_close(int fd, unsigned code)
{
    struct blob *got CLEANUP_BLOB = NULL;
    uint8_t opcode;

    while ((opcode = client_receive(fd, &got)) != 8) {
        blob_unref(got);
        got = NULL;
    }
    cr_assert(got->len >= 2);
    cr_expect((unsigned)(got->data[0] << 8 | got->data[1]) == code, "closed with %u, not %u",
              (unsigned)(got->data[0] << 8 | got->data[1]), code);
}

bool client_has_ended(int fd)
{
    return has_ended(fd);
}
