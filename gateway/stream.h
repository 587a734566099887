/*
 * stream: the bytes of one client's socket, whatever they are wrapped in: plain, TLS, and ahead of
 * either the header of a proxy. conn.c reads and writes here and knows none of it but which side of
 * the socket to wait for. Plain costs what it does without this: a recv() a read, a sendmsg() a
 * write.
 */
#pragma once

#include "gateway/client_address.h"

#include <stdbool.h>

struct buffer;
struct tls;
struct tls_server;
struct txq;

/* What all streams of a process have in common. */
struct stream_setup {
    struct tls_server *tls;  /* NULL: plain */
    struct networks trusted; /* proxies whose word is taken */
    bool has_proxy_header;   /* they, and nobody else, connect, and each says for whom first */
};

enum stream_side {
    STREAM_READABLE,
    STREAM_WRITABLE,
};

struct stream {
    const struct stream_setup *setup;
    int fd;
    struct client_address client; /* the socket's peer, or whom the proxy's header names */
    struct buffer *header;        /* what there is of it while it is awaited; else NULL */
    struct tls *tls;              /* NULL: plain, or not begun */
};

/* Takes a connected socket (non-blocking) in any case. -EACCES if it must be a proxy and is none
 * that is trusted, -ENOMEM. */
WARN_UNUSED int stream_open(struct stream *s, const struct stream_setup *setup, int fd);
/* Frees and closes; may be called again. */
void stream_close(struct stream *s);

/* Reads into `buffer`, of TLS_RECORD_MAX bytes at least. The count; 0 at the end of the peer's
 * stream; -EAGAIN: nothing now, stream_read_side() says when. Anything else is the end of both
 * directions (-EBADMSG, -E2BIG: of the proxy's header), but for -EPROTONOSUPPORT: the peer speaks
 * plain HTTP where TLS is spoken, and is plain from here on. */
WARN_UNUSED ssize_t stream_read(struct stream *s, void *buffer, size_t size);
/* Writes the first `bytes` of the queue: 1 if all of them are, 0 if the rest waits for
 * stream_write_side(), or -errno. */
WARN_UNUSED int stream_write(struct stream *s, struct txq *q, size_t bytes);
/* Bytes that the socket holds and the peer's has not taken yet. */
int stream_unsent(const struct stream *s);
/* How long nothing was heard of the peer's host; 0 if that is not known. */
uint32_t stream_silent_ms(const struct stream *s);
/* Ends our direction, everything being written. -EAGAIN: not before it is writable. */
WARN_UNUSED int stream_shut(struct stream *s);

/* What the last read, and the last write, waits for. */
enum stream_side stream_read_side(const struct stream *s);
enum stream_side stream_write_side(const struct stream *s);
