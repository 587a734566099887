#include "common/txq.h"

#include "common/memory.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define IOV_MAX_ENTRIES 64

static struct txq_entry *entry_at(const struct txq *q, uint32_t i)
{
    return &q->ring[(q->head + i) & (q->cap - 1)];
}

void txq_done(struct txq *q)
{
    for (uint32_t i = 0; i < q->count; i++)
        blob_unref(entry_at(q, i)->blob);
    free(q->ring);
    *q = (struct txq){0};
}

static void grow(struct txq *q)
{
    uint32_t cap = q->cap ? q->cap * 2 : 4;
    struct txq_entry *ring = xmalloc(cap * sizeof(*ring));

    for (uint32_t i = 0; i < q->count; i++)
        ring[i] = *entry_at(q, i);
    free(q->ring);
    q->ring = ring;
    q->cap = cap;
    q->head = 0;
}

/* Takes over what the entry refers to. */
static void push(struct txq *q, struct txq_entry entry)
{
    if (entry.blob->len == 0) {
        blob_unref(entry.blob);
        return;
    }
    if (q->count == q->cap)
        grow(q);
    q->count++;
    *entry_at(q, q->count - 1) = entry;
    q->bytes += entry.blob->len;
}

void txq_push(struct txq *q, struct blob *b)
{
    push(q, (struct txq_entry){.blob = blob_ref(b)});
}

void txq_push_rest(struct txq *q, struct blob *b)
{
    push(q, (struct txq_entry){.blob = blob_ref(b), .is_rest = true});
}

void txq_push_shared(struct txq *q, struct blob *b)
{
    push(q, (struct txq_entry){.blob = blob_ref(b), .is_shared = true});
}

void txq_push_shared_rest(struct txq *q, struct blob *b)
{
    push(q, (struct txq_entry){.blob = blob_ref(b), .is_rest = true, .is_shared = true});
}

/* Entries with bytes that are held. */
static uint32_t count_held(const struct txq *q)
{
    size_t bytes = 0;
    uint32_t n = 0;

    for (; bytes < q->held; n++) {
        const struct txq_entry *e = entry_at(q, n);
        bytes += e->blob->len - e->offset;
    }
    return n;
}

/* Entries of the frames that have been started, or are on their way. */
static uint32_t count_started(const struct txq *q)
{
    const struct txq_entry *first = q->count > 0 ? entry_at(q, 0) : NULL;
    uint32_t count = first && (first->offset > 0 || first->is_rest) ? 1 : 0;
    uint32_t held = count_held(q);

    count = held > count ? held : count;
    while (count > 0 && count < q->count && entry_at(q, count)->is_rest)
        count++;
    return count;
}

void txq_drop_shared(struct txq *q)
{
    uint32_t kept = count_started(q);

    for (uint32_t i = kept; i < q->count; i++) {
        struct txq_entry *e = entry_at(q, i);
        if (e->is_shared) {
            q->bytes -= e->blob->len;
            blob_unref(e->blob);
        } else {
            *entry_at(q, kept++) = *e;
        }
    }
    q->count = kept;
}

void txq_drop_unsent(struct txq *q)
{
    uint32_t keep = count_started(q);

    while (q->count > keep) {
        struct txq_entry *e = entry_at(q, q->count - 1);
        q->bytes -= e->blob->len;
        blob_unref(e->blob);
        q->count--;
    }
}

void txq_hold(struct txq *q, size_t bytes)
{
    q->held = bytes;
}

void txq_advance(struct txq *q, size_t written)
{
    q->bytes -= written;
    q->held -= written < q->held ? written : q->held;
    while (written > 0) {
        struct txq_entry *e = entry_at(q, 0);
        size_t left = e->blob->len - e->offset;
        if (written < left) {
            e->offset += written;
            return;
        }
        written -= left;
        blob_unref(e->blob);
        q->head = (q->head + 1) & (q->cap - 1);
        q->count--;
    }
}

struct slice txq_front(const struct txq *q)
{
    const struct txq_entry *e = entry_at(q, 0);
    return slice_of(e->blob->data + e->offset, e->blob->len - e->offset);
}

void txq_copy(const struct txq *q, void *out, size_t len)
{
    uint8_t *to = out;

    for (uint32_t i = 0; len > 0; i++) {
        const struct txq_entry *e = entry_at(q, i);
        size_t left = e->blob->len - e->offset;
        size_t n = left < len ? left : len;
        memcpy(to, e->blob->data + e->offset, n);
        to += n;
        len -= n;
    }
}

/* Describes the first `bytes` of what waits, as far as they fit; returns the entries used. */
static size_t gather(const struct txq *q, size_t bytes, struct iovec iov[IOV_MAX_ENTRIES])
{
    size_t n = 0;

    for (; n < IOV_MAX_ENTRIES && n < q->count && bytes > 0; n++) {
        struct txq_entry *e = entry_at(q, (uint32_t)n);
        size_t left = e->blob->len - e->offset;
        iov[n].iov_base = e->blob->data + e->offset;
        iov[n].iov_len = left < bytes ? left : bytes;
        bytes -= iov[n].iov_len;
    }
    return n;
}

int txq_flush_some(struct txq *q, int fd, size_t bytes)
{
    while (bytes > 0) {
        struct iovec iov[IOV_MAX_ENTRIES];
        struct msghdr msg = {.msg_iov = iov, .msg_iovlen = gather(q, bytes, iov)};
        ssize_t written = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK ? 0 : -errno;
        txq_advance(q, (size_t)written);
        bytes -= (size_t)written;
    }
    return 1;
}

int txq_flush(struct txq *q, int fd)
{
    return txq_flush_some(q, fd, q->bytes);
}
