/* Our side of TLS against OpenSSL's client, over a socket pair that blocks early. */
#include "gateway/tls.h"

#include "common/txq.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <sys/socket.h>

#define MANY (4u << 20)

static char dir[] = "/tmp/concord-tls-XXXXXX";
static char *cert_path;
static char *key_path;
static char *other_key_path;
static char *locked_key_path;

static void write_key(const char *path, EVP_PKEY *key, const char *password)
{
    FILE *f = fopen(path, "w");

    cr_assert(f);
    cr_assert(PEM_write_PrivateKey(f, key, password ? EVP_aes_128_cbc() : NULL, NULL, 0, NULL,
                                   (void *)(uintptr_t)password));
    (void)fclose(f);
}

static void write_certificate(const char *path, EVP_PKEY *key)
{
    X509 *x = X509_new();
    X509_NAME *name = X509_get_subject_name(x);
    FILE *f = fopen(path, "w");

    cr_assert(f);
    cr_assert(X509_set_version(x, 2));
    cr_assert(X509_gmtime_adj(X509_getm_notBefore(x), 0));
    cr_assert(X509_gmtime_adj(X509_getm_notAfter(x), 3600));
    cr_assert(X509_set_pubkey(x, key));
    cr_assert(
        X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)"a", -1, -1, 0));
    cr_assert(X509_set_issuer_name(x, name));
    cr_assert(X509_sign(x, key, EVP_sha256()));
    cr_assert(PEM_write_X509(f, x));
    (void)fclose(f);
    X509_free(x);
}

static void make_files(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    EVP_PKEY *other = EVP_EC_gen("P-256");

    cr_assert_not_null(mkdtemp(dir));
    cert_path = xasprintf("%s/cert.pem", dir);
    key_path = xasprintf("%s/key.pem", dir);
    other_key_path = xasprintf("%s/other.pem", dir);
    locked_key_path = xasprintf("%s/locked.pem", dir);
    write_certificate(cert_path, key);
    write_key(key_path, key, NULL);
    write_key(other_key_path, other, NULL);
    write_key(locked_key_path, key, "password");
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
}

static void remove_files(void)
{
    char *command CLEANUP_FREE = xasprintf("rm -rf %s", dir);

    cr_assert_eq(system(command), 0);
    free(cert_path);
    free(key_path);
    free(other_key_path);
    free(locked_key_path);
}

TestSuite(tls, .init = make_files, .fini = remove_files, .timeout = 60);

/* ---- a connection, both ends ---- */

static struct tls_server *server;
static struct tls *tls;
static SSL_CTX *client_ctx;
static SSL *client;
static int fds[2];
static struct txq q;

static void open_sockets(void)
{
    char *error = NULL;

    server = tls_server_new(cert_path, key_path);
    cr_assert_eq(tls_server_load(server, &error), 0, "%s", error);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    tls = tls_new(server, fds[0]);
    cr_assert(tls);
    client_ctx = SSL_CTX_new(TLS_client_method());
    client = SSL_new(client_ctx);
    cr_assert(client && SSL_set_fd(client, fds[1]) == 1);
    SSL_set_connect_state(client);
}

static void shake_hands(void)
{
    uint8_t buffer[TLS_RECORD_MAX];
    int r = 0;

    for (int i = 0; i < 10 && r != 1; i++) {
        r = SSL_do_handshake(client);
        cr_assert(r == 1 || SSL_get_error(client, r) == SSL_ERROR_WANT_READ);
        cr_assert_eq(tls_read(tls, buffer, sizeof(buffer)), -EAGAIN);
    }
    cr_assert_eq(r, 1);
}

static void close_sockets(void)
{
    txq_done(&q);
    tls_free(tls);
    SSL_free(client);
    SSL_CTX_free(client_ctx);
    tls_server_free(server);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

static void push(const void *data, size_t len)
{
    struct blob *b = blob_copy(slice_of(data, len));

    txq_push(&q, b);
    blob_unref(b);
}

/* Bytes that no two places of have the same neighbourhood. */
static void push_many(size_t len)
{
    struct blob *b = blob_new(len);

    for (size_t i = 0; i < len; i++)
        b->data[i] = (uint8_t)(i * 31 >> 3 ^ i >> 12);
    txq_push(&q, b);
    blob_unref(b);
}

/* Everything that there is for the client now. */
static size_t client_read(uint8_t *out, size_t size)
{
    size_t total = 0;
    size_t n;

    while (total < size && SSL_read_ex(client, out + total, size - total, &n) == 1)
        total += n;
    ERR_clear_error();
    return total;
}

/* ---- */

Test(tls, small_blobs_share_a_record)
{
    char text[100] = "x";
    uint8_t got[TLS_RECORD_MAX];
    size_t n = 0;

    open_sockets();
    shake_hands();
    for (int i = 0; i < 100; i++)
        push(text, sizeof(text));
    cr_assert_eq(tls_write(tls, &q, q.bytes), 1);
    cr_expect_eq(q.bytes, 0);
    cr_expect_eq(SSL_read_ex(client, got, sizeof(got), &n), 1);
    cr_expect_eq(n, 10000, "one record, not %zu bytes", n);
    close_sockets();
}

Test(tls, a_read_leaves_nothing_behind)
{
    static uint8_t sent[TLS_RECORD_MAX];
    uint8_t got[TLS_RECORD_MAX];
    size_t n;

    open_sockets();
    shake_hands();
    cr_assert_eq(SSL_write_ex(client, sent, sizeof(sent), &n), 1);
    cr_assert_eq(SSL_write_ex(client, "end", 3, &n), 1);
    cr_expect_eq(tls_read(tls, got, sizeof(got)), TLS_RECORD_MAX);
    cr_expect_eq(tls_read(tls, got, sizeof(got)), 3);
    cr_expect_eq(tls_read(tls, got, sizeof(got)), -EAGAIN);
    cr_expect_not(tls_read_waits_for_writable(tls));
    close_sockets();
}

/* What was encrypted stays in the queue until it is written, whatever is dropped meanwhile. */
Test(tls, goes_on_where_the_socket_blocked)
{
    uint8_t *got = xmalloc(MANY);
    struct blob *whole = NULL;
    size_t total = 0;
    int r = 0;

    open_sockets();
    shake_hands();
    push_many(10);
    for (int i = 0; i < 400; i++)
        push_many(10007);
    whole = blob_new(q.bytes);
    txq_copy(&q, whole->data, q.bytes);
    cr_assert_eq(tls_write(tls, &q, q.bytes), 0);
    cr_expect_not(tls_write_waits_for_readable(tls));
    cr_expect_gt(q.held, 0);
    txq_drop_unsent(&q);
    size_t kept = q.bytes;
    cr_expect_geq(kept, q.held);
    push("later", 5);
    while (r == 0) {
        total += client_read(got + total, MANY - total);
        r = tls_write(tls, &q, q.bytes);
    }
    cr_assert_eq(r, 1);
    total += client_read(got + total, MANY - total);
    cr_assert(total > kept && total < whole->len);
    cr_expect_eq(memcmp(got, whole->data, total - 5), 0);
    cr_expect_eq(memcmp(got + total - 5, "later", 5), 0);
    blob_unref(whole);
    free(got);
    close_sockets();
}

Test(tls, writes_nothing_before_the_handshake)
{
    uint8_t got[TLS_RECORD_MAX];

    open_sockets();
    push("early", 5);
    cr_expect_eq(tls_write(tls, &q, q.bytes), 0);
    cr_expect(tls_write_waits_for_readable(tls));
    cr_expect_eq(q.held, 0);
    shake_hands();
    cr_expect_eq(tls_write(tls, &q, q.bytes), 1);
    cr_expect_eq(client_read(got, sizeof(got)), 5);
    close_sockets();
}

static uint8_t filler[1 << 20];
static size_t filled;

static void fill_socket(void)
{
    ssize_t n;

    filled = 0;
    while ((n = send(fds[0], filler, sizeof(filler), MSG_DONTWAIT)) > 0)
        filled += (size_t)n;
}

/* What came behind it stays. */
static void empty_socket(void)
{
    while (filled > 0) {
        ssize_t n = recv(fds[1], filler, filled < sizeof(filler) ? filled : sizeof(filler), 0);
        cr_assert(n > 0);
        filled -= (size_t)n;
    }
}

Test(tls, a_read_may_wait_for_room_to_write)
{
    uint8_t got[TLS_RECORD_MAX];

    open_sockets();
    cr_expect_eq(SSL_do_handshake(client), -1);
    fill_socket();
    cr_expect_eq(tls_read(tls, got, sizeof(got)), -EAGAIN);
    cr_expect(tls_read_waits_for_writable(tls));
    empty_socket();
    shake_hands();
    cr_expect_not(tls_read_waits_for_writable(tls));
    close_sockets();
}

/* A peer that wants new keys gets ours with what is written next. While there is no room for them
 * nothing is encrypted, and nothing held. */
Test(tls, new_keys_wait_for_room)
{
    uint8_t got[TLS_RECORD_MAX];
    size_t n;

    open_sockets();
    shake_hands();
    cr_expect_eq(client_read(got, sizeof(got)), 0, "just tickets");
    fill_socket();
    cr_assert_eq(SSL_key_update(client, SSL_KEY_UPDATE_REQUESTED), 1);
    cr_assert_eq(SSL_write_ex(client, "new", 3, &n), 1);
    cr_expect_eq(tls_read(tls, got, sizeof(got)), 3);
    push("answer", 6);
    cr_expect_eq(tls_write(tls, &q, q.bytes), 0);
    cr_expect_not(tls_write_waits_for_readable(tls));
    cr_expect_eq(q.held, 0);
    empty_socket();
    cr_expect_eq(tls_write(tls, &q, q.bytes), 1);
    cr_expect_eq(client_read(got, sizeof(got)), 6);
    close_sockets();
}

Test(tls, both_ends_say_that_they_end)
{
    uint8_t got[TLS_RECORD_MAX];
    int r;

    open_sockets();
    shake_hands();
    cr_expect_eq(SSL_shutdown(client), 0);
    cr_expect_eq(tls_read(tls, got, sizeof(got)), 0);
    push("last", 4);
    cr_expect_eq(tls_write(tls, &q, q.bytes), 1, "the other direction goes on");
    cr_expect_eq(tls_shut(tls), 0);
    cr_expect_eq(client_read(got, sizeof(got)), 4);
    r = SSL_read(client, got, sizeof(got));
    cr_expect_eq(SSL_get_error(client, r), SSL_ERROR_ZERO_RETURN);
    close_sockets();
}

Test(tls, a_stream_that_just_ends_is_at_its_end)
{
    uint8_t got[TLS_RECORD_MAX];

    open_sockets();
    shake_hands();
    cr_assert_eq(shutdown(fds[1], SHUT_WR), 0);
    cr_expect_eq(tls_read(tls, got, sizeof(got)), 0);
    close_sockets();
}

Test(tls, tells_plain_http_from_nonsense)
{
    static const struct {
        const char *bytes;
        ssize_t result;
    } rows[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", -EPROTONOSUPPORT},
        {"POST / HTTP/1.1\r\nHost: a\r\n\r\n", -EPROTONOSUPPORT},
        {"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", -EPROTONOSUPPORT},
        {"\x16\x03\x01\x00\x05hello", -EPROTO},
        {"SSH-2.0-x\r\n", -EPROTO},
    };
    uint8_t got[TLS_RECORD_MAX];

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        open_sockets();
        size_t len = rows[i].bytes[0] == 0x16 ? 10 : strlen(rows[i].bytes);
        cr_assert_eq(send(fds[1], rows[i].bytes, len, 0), (ssize_t)len);
        cr_expect_eq(tls_read(tls, got, sizeof(got)), rows[i].result, "row %zu", i);
        cr_expect_eq(tls_read(tls, got, sizeof(got)), -EPROTO);
        push("x", 1);
        cr_expect_eq(tls_write(tls, &q, q.bytes), -EPIPE);
        cr_expect_eq(tls_shut(tls), 0);
        close_sockets();
    }
}

static int load(const char *cert, const char *key, char **ret_error)
{
    struct tls_server *s = tls_server_new(cert, key);
    int r = tls_server_load(s, ret_error);

    tls_server_free(s);
    return r;
}

Test(tls, says_which_file_does_not_load)
{
    char *missing CLEANUP_FREE = xasprintf("%s/missing.pem", dir);
    const struct {
        const char *cert;
        const char *key;
        const char *culprit;
        const char *why;
    } rows[] = {
        {missing, key_path, missing, "No such file"},
        {cert_path, missing, missing, "No such file"},
        {key_path, key_path, key_path, "no start line"},
        {cert_path, cert_path, cert_path, ""},
        {cert_path, other_key_path, other_key_path, "mismatch"},
        {cert_path, locked_key_path, locked_key_path, ""},
        {dir, key_path, dir, ""},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *error = NULL;
        cr_expect_eq(load(rows[i].cert, rows[i].key, &error), -EINVAL, "row %zu", i);
        cr_assert(error, "row %zu", i);
        cr_expect_eq(strncmp(error, rows[i].culprit, strlen(rows[i].culprit)), 0, "%s", error);
        cr_expect(strstr(error, rows[i].why), "%s", error);
        free(error);
    }
}

Test(tls, a_certificate_that_does_not_load_leaves_the_other)
{
    char *error = NULL;
    EVP_PKEY *key = EVP_EC_gen("P-256");

    open_sockets();
    write_key(key_path, key, NULL);
    EVP_PKEY_free(key);
    cr_expect_eq(tls_server_load(server, &error), -EINVAL);
    free(error);
    shake_hands();
    close_sockets();
}
