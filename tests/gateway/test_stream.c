/* A client's socket, plain and behind a proxy's header. TLS has its own tests (test_tls.c). */
#include "gateway/stream.h"

#include "common/txq.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#define HEADER "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\x0a\0\0\x01\x1f\x90\x01\xbb"
#define SIZE   (64u << 10)

static struct stream_setup setup;
static struct stream stream;
static int client;
static uint8_t got[SIZE];

/* Both ends of a TCP connection over loopback; the stream's is opened. */
static int connect_stream(const char *trusted, bool has_proxy_header)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    cr_assert_eq(networks_parse(trusted, &setup.trusted), 0);
    setup.has_proxy_header = has_proxy_header;
    cr_assert_eq(bind(listener, (struct sockaddr *)&addr, sizeof(addr)), 0);
    cr_assert_eq(listen(listener, 1), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&addr, &len), 0);
    client = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(connect(client, (struct sockaddr *)&addr, sizeof(addr)), 0);
    int fd = accept(listener, NULL, NULL);
    cr_assert(fd >= 0);
    (void)close(listener);
    return stream_open(&stream, &setup, fd);
}

static void disconnect(void)
{
    stream_close(&stream);
    stream_close(&stream);
    (void)close(client);
    networks_done(&setup.trusted);
}

TestSuite(stream, .fini = disconnect, .timeout = 10);

static void client_sends(const void *bytes, size_t len)
{
    cr_assert_eq(send(client, bytes, len, 0), (ssize_t)len);
}

static void expect_client(const char *want)
{
    char text[CLIENT_ADDRESS_TEXT];

    cr_expect_str_eq(client_address_format(&stream.client, text), want);
}

Test(stream, plain_is_passed_on_as_it_is)
{
    struct txq q = {0};
    struct blob *b = blob_copy(slice_str("answer"));

    cr_assert_eq(connect_stream("", false), 0);
    expect_client("127.0.0.1");
    cr_expect_eq(stream_read(&stream, got, SIZE), -EAGAIN);
    cr_expect_eq(stream_read_side(&stream), STREAM_READABLE);
    client_sends("request", 7);
    cr_expect_eq(stream_read(&stream, got, SIZE), 7);
    txq_push(&q, b);
    cr_expect_eq(stream_write(&stream, &q, q.bytes), 1);
    cr_expect_eq(stream_shut(&stream), 0);
    cr_expect_eq(recv(client, got, SIZE, MSG_WAITALL), 6);
    cr_assert_eq(shutdown(client, SHUT_WR), 0);
    cr_expect_eq(stream_read(&stream, got, SIZE), 0);
    blob_unref(b);
    txq_done(&q);
}

Test(stream, a_writer_that_is_too_fast_waits)
{
    struct txq q = {0};
    struct blob *b = blob_new(32 << 20);

    cr_assert_eq(connect_stream("", false), 0);
    txq_push(&q, b);
    cr_expect_eq(stream_write(&stream, &q, q.bytes), 0);
    cr_expect_eq(stream_write_side(&stream), STREAM_WRITABLE);
    cr_expect(q.bytes > 0 && q.bytes < b->len);
    blob_unref(b);
    txq_done(&q);
}

Test(stream, a_header_comes_first_and_takes_nothing_of_what_follows)
{
    static const char bytes[] = HEADER "GET /";

    cr_assert_eq(connect_stream("127.0.0.0/8", true), 0);
    expect_client("127.0.0.1");
    for (size_t i = 0; i < sizeof(HEADER) - 2; i++) {
        client_sends(bytes + i, 1);
        cr_expect_eq(stream_read(&stream, got, SIZE), -EAGAIN, "byte %zu", i);
    }
    expect_client("127.0.0.1");
    client_sends(bytes + sizeof(HEADER) - 2, 6);
    cr_expect_eq(stream_read(&stream, got, SIZE), 5);
    cr_expect_eq(memcmp(got, "GET /", 5), 0);
    expect_client("192.0.2.7");
}

Test(stream, what_is_no_header_ends_it)
{
    cr_assert_eq(connect_stream("127.0.0.1", true), 0);
    client_sends("GET / HTTP/1.1\r\n", 16);
    cr_expect_eq(stream_read(&stream, got, SIZE), -EBADMSG);
}

Test(stream, a_header_that_ends_midway_ends_it)
{
    cr_assert_eq(connect_stream("127.0.0.1", true), 0);
    client_sends(HEADER, 20);
    cr_assert_eq(shutdown(client, SHUT_WR), 0);
    cr_expect_eq(stream_read(&stream, got, SIZE), -ECONNRESET);
}

Test(stream, who_is_no_trusted_proxy_is_refused)
{
    cr_expect_eq(connect_stream("10.0.0.0/8, ::1", true), -EACCES);
}
