/*
 * ipc: frames between our own processes over a Unix stream socket. A frame is a 32-bit
 * little-endian length and that many bytes of msgpack (proto/proto.h); descriptors travel with the
 * first byte of the frame that announces them, in order. Output is sent at once when nothing is
 * queued; else it waits, without a bound here: callers watch ipc_queued_bytes().
 *
 * Bytes that are no frame come to on_end as -EBADMSG; what that means is the owner's to say: from a
 * room, which digests hostile documents, it ends the connection; from any other it ends the
 * process.
 */
#pragma once

#include "common/memory.h"
#include "common/blob.h"
#include "common/loop.h"

#define IPC_FRAME_MAX (256u << 20) /* body bytes */
#define IPC_HEADER    4u
#define IPC_FDS_MAX   4 /* descriptors that may wait to be taken */

struct ipc;

struct ipc_handler {
    /* One frame's body, borrowed until the call returns. The handler may send, pause and close. */
    void (*on_frame)(void *ctx, struct slice body);
    /* The peer is gone or broke the framing; `error` is 0 for an orderly end, else -errno. Called
     * once, never after ipc_close(). The handler calls ipc_close(). */
    void (*on_end)(void *ctx, int error);
};

/* Takes `fd` (made non-blocking). `handler` must live as long as the connection. */
struct ipc *ipc_new(struct loop *loop, int fd, const struct ipc_handler *handler, void *ctx);
/* What comes from here on goes to another owner, also within a callback. */
void ipc_set_handler(struct ipc *ipc, const struct ipc_handler *handler, void *ctx);
/* No callback comes after this; the memory goes at the end of the turn. What is queued is tried
 * once and else dropped. NULL is allowed. */
void ipc_close(struct ipc *ipc);

/* Queues a frame that was built by proto_encode_*(); takes its own reference. */
void ipc_send(struct ipc *ipc, struct blob *frame);
/* The same and consumes the reference of the caller: for frames made on the spot. */
void ipc_send_new(struct ipc *ipc, struct blob *frame);
/* Also passes `fd`, which is closed here once it is sent or cannot be. */
void ipc_send_fd(struct ipc *ipc, struct blob *frame, int fd);

/* The oldest received descriptor not yet taken, for the caller to close. -EMFILE: one was sent, but
 * this process had no number free for it; -EBADMSG: there is none. */
int ipc_take_fd(struct ipc *ipc);

size_t ipc_queued_bytes(const struct ipc *ipc);
/* Has the peer not gone yet, as far as the system knows? on_end may be still to come. */
bool ipc_has_peer(const struct ipc *ipc);
/* Stops and restarts reading. Frames already read may still be delivered in this turn. */
void ipc_set_paused(struct ipc *ipc, bool is_paused);

/* Listens at `path` (mode 0600, an old socket there is replaced). `on_accept` gets each new
 * descriptor and owns it. 0 or -errno. The listener lives as long as the loop. */
WARN_UNUSED int ipc_listen(struct loop *loop, const char *path,
                           void (*on_accept)(void *ctx, int fd), void *ctx);
/* A connected descriptor, or -errno (-ENOENT, -ECONNREFUSED: nobody listens yet; -EAGAIN: too many
 * wait there). Never waits. */
WARN_UNUSED int ipc_connect(const char *path);
/* Two connected stream sockets, close-on-exec. 0 or -errno. */
WARN_UNUSED int ipc_pair(int ret_fds[2]);
