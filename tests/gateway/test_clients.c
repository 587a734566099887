/* What a client's socket meets: pages, statuses, sizes, deadlines, and the end of the process. */
#include "harness.h"

#include "gateway/conn.h"
#include "gateway/pages.h"
#include "gateway/routes.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

static struct gateway_under_test g;

static void start(void)
{
    harness_start(&g);
}

static void stop(void)
{
    harness_stop(&g);
}

TestSuite(clients, .init = start, .fini = stop, .timeout = 60);

#define H "Host: localhost\r\n"
#define WS                                                                                         \
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"                   \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

static const struct {
    const char *request;
    unsigned status;
} rows[] = {
    {"GET / HTTP/1.1\r\n" H "\r\n", 200},
    {"HEAD / HTTP/1.1\r\n" H "\r\n", 200},
    {"\r\nGET /healthz HTTP/1.1\r\n" H "\r\n", 200},
    {"GET /index.html HTTP/1.1\r\n" H "If-None-Match: *\r\n\r\n", 304},
    {"GET /nothing HTTP/1.1\r\n" H "\r\n", 404},
    {"GET /../index.html HTTP/1.1\r\n" H "\r\n", 404},
    {"POST / HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", 405},
    {"DELETE /healthz HTTP/1.1\r\n" H "\r\n", 405},
    {"GET / HTTP/1.1\r\n" H "Content-Length: 4\r\n\r\nbody", 400},
    {"GET /yjs/r HTTP/1.1\r\n" H "\r\n", 426},
    {"GET / HTTP/1.1\r\n" H WS "\r\n", 404},
    {"GET /elsewhere HTTP/1.1\r\n" H WS "\r\n", 404},
    {"GET /yjs/ HTTP/1.1\r\n" H WS "\r\n", 400},
    {"GET /yjs/%00 HTTP/1.1\r\n" H WS "\r\n", 400},
    {"GET /rooms//ws HTTP/1.1\r\n" H WS "\r\n", 400},
    {"GET /rooms/ws HTTP/1.1\r\n" H WS "\r\n", 404},
    {"GET /rooms/r/ws?data=xml HTTP/1.1\r\n" H WS "\r\n", 400},
    {"GET /rooms/r/ws?since=*** HTTP/1.1\r\n" H WS "\r\n", 400},
    {"GET /rooms/r/ws?since=%zz HTTP/1.1\r\n" H WS "\r\n", 400},
    {"GET /rooms/r/ws?since= HTTP/1.1\r\n" H WS "\r\n", 400},
    {"GET /rooms/r/ws?data=yjs&since=AA%3D%3D HTTP/1.1\r\n" H WS "\r\n", 101},
    {"GET /yjs/r?token=x HTTP/1.1\r\n" H WS "\r\n", 101},
    {"garbage\r\n\r\n", 400},
};

Test(clients, statuses)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int fd = client_connect(&g);
        unsigned status = client_request(fd, rows[i].request);
        cr_expect(status == rows[i].status, "%u, not %u: %s", status, rows[i].status,
                  rows[i].request);
        (void)close(fd);
    }
}

/* Everything until the end of the stream. */
static char *read_to_end(int fd)
{
    size_t cap = 1 << 20;
    char *all = calloc(1, cap);
    ssize_t n;

    for (size_t len = 0; (n = recv(fd, all + len, cap - 1 - len, 0)) > 0;)
        len += (size_t)n;
    return all;
}

static unsigned count(const char *text, const char *what)
{
    unsigned n = 0;

    for (const char *at = text; (at = strstr(at, what)); at += strlen(what))
        n++;
    return n;
}

Test(clients, pipelined_requests_are_answered_in_order)
{
    static const char requests[] = "GET /healthz HTTP/1.1\r\n" H "\r\n"
                                   "HEAD / HTTP/1.1\r\n" H "\r\n"
                                   "GET / HTTP/1.1\r\n" H "Connection: close\r\n\r\n"
                                   "GET /healthz HTTP/1.1\r\n" H "\r\n";
    int fd = client_connect(&g);

    for (size_t i = 0; i < sizeof(requests) - 1; i++)
        client_write(fd, requests + i, 1);
    char *all = read_to_end(fd);
    cr_expect(count(all, "HTTP/1.1 200 OK") == 3, "%s", all);
    cr_expect(count(all, "\r\n\r\nok\n") == 1);
    cr_expect(count(all, "<p>hello\n") == 1, "HEAD has no content");
    cr_expect(count(all, "Content-Length: 9\r\n") == 2);
    cr_expect(strstr(all, "Content-Security-Policy: default-src 'self'; style-src 'self' "
                          "'unsafe-inline';"));
    cr_expect(strstr(all, "connect-src 'self' ws://localhost wss://localhost\r\n"));
    cr_expect(strstr(all, "X-Content-Type-Options: nosniff"));
    cr_expect(strstr(all, "ETag: \""));
    free(all);
}

Test(clients, a_client_that_asks_and_does_not_read_is_not_read)
{
    static const char request[] = "GET / HTTP/1.1\r\n" H "\r\n";
    int fd = client_connect(&g);
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    size_t sent = 0;

    while (sent < (64u << 20) && poll(&p, 1, 500) > 0) {
        ssize_t n = send(fd, request, sizeof(request) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < (ssize_t)sizeof(request) - 1)
            break;
        sent += (size_t)n;
    }
    cr_expect(sent < (48u << 20), "%zu bytes of requests were taken", sent);
    int other = client_connect(&g);
    cr_expect(client_request(other, request) == 200, "others are served");
}

Test(clients, a_head_has_five_seconds)
{
    int fd = client_connect(&g);
    struct timespec start, end;

    (void)clock_gettime(CLOCK_MONOTONIC, &start);
    client_write(fd, "GET / HTTP/1.1\r\n", 16);
    cr_expect(client_request(fd, "X: y\r\n") == 408);
    (void)clock_gettime(CLOCK_MONOTONIC, &end);
    cr_expect(end.tv_sec - start.tv_sec <= 7);
}

Test(clients, a_request_over_the_limit)
{
    char *head = malloc(200000);
    int fd = client_connect(&g);

    memset(head, 'x', 199999);
    memcpy(head, "GET / HTTP/1.1\r\nX: ", 19);
    head[199999] = '\0';
    cr_expect(client_request(fd, head) == 431);
    free(head);
}

Test(clients, the_subprotocol_is_echoed_if_it_is_ours)
{
    static const char *const offers[] = {"concord.v1", "other, concord.v1", "other"};

    for (size_t i = 0; i < 3; i++) {
        int fd = client_connect(&g);
        char head[512] = "";
        char *request = xasprintf(
            "GET /rooms/r/ws HTTP/1.1\r\n" H WS "Sec-WebSocket-Protocol: %s\r\n\r\n", offers[i]);
        client_write(fd, request, strlen(request));
        for (size_t len = 0; !strstr(head, "\r\n\r\n"); len++)
            cr_assert(recv(fd, head + len, 1, 0) == 1);
        cr_expect((strstr(head, "Sec-WebSocket-Protocol: concord.v1\r\n") != NULL) == (i < 2));
        free(request);
        (void)close(fd);
    }
}

Test(clients, messages_are_bounded)
{
    int fd = client_open(&g, "/yjs/r");
    char head[14] = "\x82\xff\0\0\0\0\0\x40\0\1\1\2\3\4"; /* one byte over 4 MiB */

    client_write(fd, head, sizeof(head));
    client_expect_close(fd, 1009);
    cr_expect(client_has_ended(fd));
}

Test(clients, frames_may_follow_the_request_at_once)
{
    int fd = client_connect(&g);

    client_write(fd, "GET /yjs/r HTTP/1.1\r\n" H WS "\r\n\x89\x81\0\0\0\0p",
                 strlen("GET /yjs/r HTTP/1.1\r\n" H WS "\r\n") + 7);
    cr_expect(client_request(fd, "") == 101);
    client_expect(fd, 10, "p", 1);
}

Test(clients, a_close_is_answered_and_the_socket_ends)
{
    int fd = client_open(&g, "/yjs/r");

    client_send(fd, 8, "\x0b\xb9why", 5);
    client_expect(fd, 8, "\x0b\xb9", 2);
    cr_expect(client_has_ended(fd));
    fd = client_open(&g, "/yjs/r");
    client_send(fd, 8, "", 0);
    client_expect(fd, 8, "", 0);
    cr_expect(client_has_ended(fd));
}

Test(clients, the_end_of_the_process_is_announced)
{
    int fd = client_open(&g, "/yjs/r");

    cr_assert(kill(g.pid, SIGTERM) == 0);
    client_expect_close(fd, 1012);
    client_send(fd, 8, "\3\xe9", 2);
    cr_expect(client_has_ended(fd));
}

/* ---- without a process ---- */

Test(routes, room_names)
{
    uint8_t out[512];
    char long_name[257];

    memset(long_name, 'x', 256);
    long_name[256] = '\0';
    cr_expect(routes_room_name(slice_str("a%2fb/c"), out) == 5 && memcmp(out, "a/b/c", 5) == 0);
    cr_expect(routes_room_name(slice_str("caf%C3%A9"), out) == 5);
    cr_expect(routes_room_name(slice_str(long_name + 1), out) == 255);
    cr_expect(routes_room_name(slice_str(long_name), out) == -EBADMSG);
    cr_expect(routes_room_name(slice_str(""), out) == -EBADMSG);
    cr_expect(routes_room_name(slice_str("a%00"), out) == -EBADMSG);
    cr_expect(routes_room_name(slice_str("%ff"), out) == -EBADMSG);
    cr_expect(routes_room_name(slice_str("%c0%af"), out) == -EBADMSG);
    cr_expect(routes_room_name(slice_str("%zz"), out) == -EBADMSG);
}

static void write_file(const char *dir, const char *name, const char *text)
{
    char *path = xasprintf("%s/%s", dir, name);
    FILE *f = fopen(path, "w");

    cr_assert(f);
    (void)fputs(text, f);
    (void)fclose(f);
    free(path);
}

Test(pages, only_plain_files_of_known_types)
{
    char dir[] = "/tmp/gateway-pages-XXXXXX";
    struct pages *pages;

    cr_assert(mkdtemp(dir));
    write_file(dir, "index.html", "home");
    write_file(dir, "demo.html", "demo");
    write_file(dir, "app.js", "");
    write_file(dir, "notes.secret", "no");
    write_file(dir, ".hidden.html", "no");
    char *link = xasprintf("%s/link.html", dir);
    char *sub = xasprintf("%s/sub.html", dir);
    cr_assert(symlink("/etc/passwd", link) == 0 && mkdir(sub, 0700) == 0);
    cr_assert(pages_load(dir, &pages) == 0);
    const struct page *page = pages_find(pages, slice_str("/"));
    cr_assert(page && slice_equal(blob_slice(page->content), slice_str("home")));
    cr_expect(page == pages_find(pages, slice_str("/index.html")));
    page = pages_find(pages, slice_str("/demo"));
    cr_assert(page && slice_equal(blob_slice(page->content), slice_str("demo")));
    page = pages_find(pages, slice_str("/app.js"));
    cr_assert(page && strcmp(page->type, "text/javascript; charset=utf-8") == 0);
    static const char *const missing[] = {"/notes.secret", "/.hidden.html", "/link.html",
                                          "/sub.html",     "/nothing",      "//index.html"};
    for (size_t i = 0; i < sizeof(missing) / sizeof(missing[0]); i++)
        cr_expect(!pages_find(pages, slice_str(missing[i])), "%s", missing[i]);
    pages_free(pages);
    cr_expect(pages_load("/nonexistent", &pages) == -ENOENT);
    cr_assert(pages_load("", &pages) == 0);
    cr_expect(!pages_find(pages, slice_str("/")));
    pages_free(pages);
    char *command = xasprintf("rm -r %s", dir);
    cr_expect(system(command) == 0);
    free(command);
    free(link);
    free(sub);
}
