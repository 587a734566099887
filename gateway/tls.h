/*
 * tls: TLS 1.2 and 1.3 of clients, by OpenSSL over non-blocking sockets. `tls_server` is the
 * certificate and its key, `tls` one client's connection. Nothing here waits: what cannot go on
 * says which side of the socket it needs. A read takes one record, so that no decrypted bytes are
 * ever left behind where the readiness of the socket does not tell of them.
 */
#pragma once

#include "common/memory.h"

#include <stdbool.h>
#include <stdint.h>

#define TLS_RECORD_MAX 16384u /* bytes of content in one record */

struct tls;
struct tls_server;
struct txq;

/* Neither has loaded anything yet. The paths are borrowed. */
struct tls_server *tls_server_new(const char *cert_path, const char *key_path);
/* After all its connections; NULL is allowed. */
void tls_server_free(struct tls_server *server);
/* Reads certificate (with the chain behind it) and key; connections from now on get them. On
 * failure (-EINVAL) all is as before, and `*ret_error` a newly allocated text that names the file
 * and tells nothing of its content. */
WARN_UNUSED int tls_server_load(struct tls_server *server, char **ret_error);

/* A connection on a socket that stays the caller's; NULL without memory. */
struct tls *tls_new(struct tls_server *server, int fd);
/* NULL is allowed. */
void tls_free(struct tls *tls);

/* At most one record's content into `buffer` (TLS_RECORD_MAX bytes at least); makes the handshake
 * first. 0 at the end of the peer's stream; -EAGAIN for later, see tls_read_waits_for_writable();
 * -EPROTONOSUPPORT if the peer speaks plain HTTP, -EPROTO or another -errno if it is lost. */
WARN_UNUSED ssize_t tls_read(struct tls *tls, void *buffer, size_t size);
/* Writes the first `bytes` of the queue, small blobs together in one record. 1 if all is written, 0
 * for later, see tls_write_waits_for_readable(); -errno if it is lost. */
WARN_UNUSED int tls_write(struct tls *tls, struct txq *q, size_t bytes);
/* Says that nothing more comes. 0, also where there is nobody to say it to; -EAGAIN: not before the
 * socket is writable. */
int tls_shut(struct tls *tls);

/* What the last read or write waits for, if it is the other side. */
bool tls_read_waits_for_writable(const struct tls *tls);
bool tls_write_waits_for_readable(const struct tls *tls);
