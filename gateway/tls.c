#include "gateway/tls.h"

#include "common/log.h"
#include "common/metrics.h"
#include "common/txq.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>

/* Of TLS 1.2: forward secrecy and authenticated encryption only. TLS 1.3 knows nothing else. */
#define CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20"

struct tls_server {
    const char *cert_path;
    const char *key_path;
    SSL_CTX *ctx;                   /* of the certificate that was loaded last */
    uint8_t record[TLS_RECORD_MAX]; /* what is put together for one */
};

struct tls {
    struct tls_server *server;
    SSL *ssl;
    bool read_needs_writable;
    bool write_needs_readable;
    bool is_lost; /* OpenSSL allows nothing more than to free it */
};

/* ---- certificate and key ---- */

struct tls_server *tls_server_new(const char *cert_path, const char *key_path)
{
    struct tls_server *server = xcalloc(1, sizeof(*server));

    server->cert_path = cert_path;
    server->key_path = key_path;
    return server;
}

void tls_server_free(struct tls_server *server)
{
    if (!server)
        return;
    SSL_CTX_free(server->ctx);
    free(server);
}

/* Nobody sits at a terminal to decrypt a key. */
static int no_password(char *buf, int size, int is_writing, void *ctx)
{
    (void)buf;
    (void)size;
    (void)is_writing;
    (void)ctx;
    return -1;
}

/* RFC 7301. Who offers other protocols only, like h2, is told so by an alert. */
static int on_alpn(SSL *ssl, const unsigned char **ret, unsigned char *ret_len,
                   const unsigned char *offered, unsigned offered_len, void *ctx)
{
    static const unsigned char ours[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
    unsigned char *selected;

    (void)ssl;
    (void)ctx;
    if (SSL_select_next_proto(&selected, ret_len, ours, sizeof(ours), offered, offered_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *ret = selected;
    return SSL_TLSEXT_ERR_OK;
}

/* Renegotiation would let a client make us compute at will. Without a warning that its stream ends
 * a client is still at its end: HTTP and WebSocket have lengths of their own. */
static SSL_CTX *new_context(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

    if (!ctx || SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_cipher_list(ctx, CIPHERS) != 1)
        log_panic("OpenSSL does not start");
    (void)SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                       SSL_OP_IGNORE_UNEXPECTED_EOF |
                                       SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    /* Sessions are resumed by tickets, which clients keep, not we. */
    (void)SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_default_passwd_cb(ctx, no_password);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
    return ctx;
}

static const char *reason_of(unsigned long error)
{
    if (ERR_SYSTEM_ERROR(error))
        return strerror(ERR_GET_REASON(error));
    const char *reason = ERR_reason_error_string(error);
    return reason ? reason : "unknown";
}

static int fail_to_load(SSL_CTX *ctx, const char *path, char **ret_error)
{
    *ret_error = xasprintf("%s: %s", path, reason_of(ERR_peek_error()));
    ERR_clear_error();
    SSL_CTX_free(ctx);
    return -EINVAL;
}

int tls_server_load(struct tls_server *server, char **ret_error)
{
    SSL_CTX *ctx = new_context();

    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(ctx, server->cert_path) != 1)
        return fail_to_load(ctx, server->cert_path, ret_error);
    if (SSL_CTX_use_PrivateKey_file(ctx, server->key_path, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1)
        return fail_to_load(ctx, server->key_path, ret_error);
    SSL_CTX_free(server->ctx);
    server->ctx = ctx;
    return 0;
}

/* ---- a connection ---- */

struct tls *tls_new(struct tls_server *server, int fd)
{
    struct tls *tls = xcalloc(1, sizeof(*tls));

    tls->server = server;
    tls->ssl = SSL_new(server->ctx);
    if (!tls->ssl || SSL_set_fd(tls->ssl, fd) != 1) {
        ERR_clear_error();
        tls_free(tls);
        return NULL;
    }
    SSL_set_accept_state(tls->ssl);
    return tls;
}

void tls_free(struct tls *tls)
{
    if (!tls)
        return;
    SSL_free(tls->ssl);
    free(tls);
}

static int lose(struct tls *tls, int r)
{
    tls->is_lost = true;
    ERR_clear_error();
    return r;
}

/* After SSL_get_error() said that it is over. */
static int describe_loss(struct tls *tls, int error, int saved_errno)
{
    unsigned long code = ERR_peek_error();
    int reason = ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) : 0;

    metric_add(METRIC_GATEWAY_TLS_FAILURES, SSL_in_init(tls->ssl) != 0);
    if (error == SSL_ERROR_SYSCALL)
        return lose(tls, saved_errno ? -saved_errno : -ECONNRESET);
    log_debug("TLS: %s", reason_of(code));
    if (reason == SSL_R_HTTP_REQUEST || reason == SSL_R_HTTPS_PROXY_REQUEST)
        return lose(tls, -EPROTONOSUPPORT);
    return lose(tls, -EPROTO);
}

ssize_t tls_read(struct tls *tls, void *buffer, size_t size)
{
    size_t len;

    if (tls->is_lost)
        return -EPROTO;
    tls->read_needs_writable = false;
    ERR_clear_error();
    errno = 0;
    int r = SSL_read_ex(tls->ssl, buffer, size, &len);
    int saved_errno = errno;
    if (r == 1)
        return (ssize_t)len;
    int error = SSL_get_error(tls->ssl, r);
    tls->read_needs_writable = error == SSL_ERROR_WANT_WRITE;
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        return -EAGAIN;
    if (error == SSL_ERROR_ZERO_RETURN)
        return 0;
    return describe_loss(tls, error, saved_errno);
}

/* The bytes of the next record. One that OpenSSL has made and could not write must be offered again
 * as it was; until then nothing of it may leave the queue. */
static struct slice next_record(struct tls *tls, const struct txq *q, size_t bytes)
{
    size_t len = q->held ? q->held : bytes < TLS_RECORD_MAX ? bytes : TLS_RECORD_MAX;
    struct slice front = txq_front(q);

    if (front.len >= len)
        return slice_of(front.data, len);
    txq_copy(q, tls->server->record, len);
    return slice_of(tls->server->record, len);
}

int tls_write(struct tls *tls, struct txq *q, size_t bytes)
{
    tls->write_needs_readable = false;
    while (bytes > 0) {
        struct slice record = next_record(tls, q, bytes);
        size_t written;
        if (tls->is_lost)
            return -EPIPE;
        ERR_clear_error();
        errno = 0;
        int r = SSL_write_ex(tls->ssl, record.data, record.len, &written);
        int saved_errno = errno;
        if (r == 1) {
            txq_advance(q, written);
            bytes -= written < bytes ? written : bytes;
            continue;
        }
        int error = SSL_get_error(tls->ssl, r);
        if (error == SSL_ERROR_WANT_WRITE && !SSL_in_init(tls->ssl))
            txq_hold(q, record.len);
        tls->write_needs_readable = error == SSL_ERROR_WANT_READ;
        if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
            return 0;
        return describe_loss(tls, error, saved_errno);
    }
    return 1;
}

int tls_shut(struct tls *tls)
{
    if (tls->is_lost || SSL_in_init(tls->ssl))
        return 0;
    ERR_clear_error();
    int r = SSL_shutdown(tls->ssl);
    if (r < 0 && SSL_get_error(tls->ssl, r) == SSL_ERROR_WANT_WRITE)
        return -EAGAIN;
    ERR_clear_error();
    return 0;
}

bool tls_read_waits_for_writable(const struct tls *tls)
{
    return tls->read_needs_writable;
}

bool tls_write_waits_for_readable(const struct tls *tls)
{
    return tls->write_needs_readable;
}
