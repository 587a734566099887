#include "gateway/stream.h"

#include "common/buffer.h"
#include "common/txq.h"
#include "gateway/proxy_header.h"
#include "gateway/tls.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static ssize_t read_socket(int fd, void *buffer, size_t size)
{
    ssize_t n = recv(fd, buffer, size, MSG_DONTWAIT);

    if (n >= 0)
        return n;
    return errno == EINTR || errno == EWOULDBLOCK ? -EAGAIN : -errno;
}

/* ---- the proxy's header ---- */

static void free_header(struct stream *s)
{
    if (s->header)
        buffer_done(s->header);
    free(TAKE_PTR(s->header));
}

/* What is behind it begins. */
static int begin_content(struct stream *s)
{
    if (!s->setup->tls)
        return 0;
    s->client.is_secure = true;
    s->tls = tls_new(s->setup->tls, s->fd);
    return s->tls ? 0 : -ENOMEM;
}

static int take_header(struct stream *s)
{
    struct proxy_header header;
    int r = proxy_header_parse(buffer_slice(s->header), &header);

    if (r < 0)
        return r;
    if (header.client.family != CLIENT_FAMILY_UNKNOWN)
        s->client = header.client;
    free_header(s);
    return begin_content(s);
}

/* Reads the header and not a byte more: what follows may be for OpenSSL to read. 0: it is complete.
 */
static int read_header(struct stream *s)
{
    for (;;) {
        ssize_t len = proxy_header_len(buffer_slice(s->header));
        if (len < 0)
            return (int)len;
        if ((size_t)len == s->header->len)
            return take_header(s);
        size_t lacking = (size_t)len - s->header->len;
        ssize_t n = read_socket(s->fd, buffer_reserve(s->header, lacking), lacking);
        if (n <= 0)
            return n < 0 ? (int)n : -ECONNRESET;
        buffer_add_len(s->header, (size_t)n);
    }
}

/* ---- the interface ---- */

int stream_open(struct stream *s, const struct stream_setup *setup, int fd)
{
    *s = (struct stream){.setup = setup, .fd = fd};
    client_address_set_peer(&s->client, fd);
    if (!setup->has_proxy_header)
        return begin_content(s);
    if (!networks_have(&setup->trusted, s->client.bytes))
        return -EACCES;
    s->header = xcalloc(1, sizeof(*s->header));
    return 0;
}

void stream_close(struct stream *s)
{
    free_header(s);
    if (s->tls)
        (void)tls_shut(s->tls);
    tls_free(TAKE_PTR(s->tls));
    if (s->fd >= 0)
        (void)close(TAKE_FD(s->fd));
}

ssize_t stream_read(struct stream *s, void *buffer, size_t size)
{
    int r = s->header ? read_header(s) : 0;

    if (r < 0)
        return r;
    if (!s->tls)
        return read_socket(s->fd, buffer, size);
    ssize_t n = tls_read(s->tls, buffer, size);
    if (n == -EPROTONOSUPPORT) {
        tls_free(TAKE_PTR(s->tls));
        s->client.is_secure = false;
    }
    return n;
}

int stream_write(struct stream *s, struct txq *q, size_t bytes)
{
    return s->tls ? tls_write(s->tls, q, bytes) : txq_flush_some(q, s->fd, bytes);
}

int stream_unsent(const struct stream *s)
{
    int bytes = 0;

    return ioctl(s->fd, SIOCOUTQ, &bytes) < 0 ? 0 : bytes;
}

uint32_t stream_silent_ms(const struct stream *s)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);

    return getsockopt(s->fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0 ? 0 : info.tcpi_last_ack_recv;
}

int stream_shut(struct stream *s)
{
    int r = s->tls ? tls_shut(s->tls) : 0;

    if (r < 0)
        return r;
    return shutdown(s->fd, SHUT_WR) < 0 ? -errno : 0;
}

enum stream_side stream_read_side(const struct stream *s)
{
    return s->tls && tls_read_waits_for_writable(s->tls) ? STREAM_WRITABLE : STREAM_READABLE;
}

enum stream_side stream_write_side(const struct stream *s)
{
    return s->tls && tls_write_waits_for_readable(s->tls) ? STREAM_READABLE : STREAM_WRITABLE;
}
