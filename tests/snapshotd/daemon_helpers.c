#include "tests/snapshotd/daemon_helpers.h"

#include "common/buffer.h"
#include "common/ipc.h"
#include "common/log.h"
#include "common/names.h"
#include "snapshotd/control.h"
#include "snapshotd/fold_server.h"
#include "snapshotd/persist.h"
#include "tests/snapshotd/store_helpers.h"
#include "tests/snapshotd/store_under_test.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define SILENCE_S 20
#define TENANT    "t"

/* ---- a store that fails once ---- */

struct faulty_store {
    struct store store;
    struct store *real;
};

static enum fault fault_left;
static int appends;

static void fault_load(struct store *store, struct store_key key, uint64_t lineage,
                       const struct store_load_handler *handler, void *ctx)
{
    if (fault_left == FAULT_READ && handler->on_part) {
        fault_left = FAULT_NONE;
        handler->on_done(ctx, -ETIMEDOUT, NULL);
        return;
    }
    store_load(((struct faulty_store *)store)->real, key, lineage, handler, ctx);
}

static void ignore(void *ctx, int error)
{
    (void)ctx;
    (void)error;
}

static void fault_append(struct store *store, const struct store_append *rooms, size_t count,
                         store_done_fn done, void *ctx)
{
    struct faulty_store *f = (struct faulty_store *)store;

    if (++appends != 2 || fault_left == FAULT_NONE || fault_left == FAULT_READ) {
        store_append(f->real, rooms, count, done, ctx);
        return;
    }
    int error = fault_left == FAULT_STALE ? -ESTALE : -EIO;
    if (fault_left != FAULT_BEFORE)
        store_append(f->real, rooms, count, ignore, NULL);
    fault_left = FAULT_NONE;
    done(ctx, error);
}

static void fault_fold(struct store *store, const struct store_fold *fold, store_done_fn done,
                       void *ctx)
{
    store_fold(((struct faulty_store *)store)->real, fold, done, ctx);
}

static const char *fault_detail(const struct store *store)
{
    (void)store;
    return "";
}

static void fault_close(struct store *store)
{
    store_close(((struct faulty_store *)store)->real);
    free(store);
}

static int open_faulty(void *ctx, struct loop *loop, const struct store_owner *owner,
                       struct store **ret_store)
{
    static const struct store_ops ops = {fault_load, fault_append, fault_fold, fault_detail,
                                         fault_close};
    const struct config *config = ctx;
    struct store *real;
    int r = store_under_test_open(config->data, loop, owner, &real);

    if (r < 0 && r != -EINPROGRESS)
        return r;
    struct faulty_store *f = xcalloc(1, sizeof(*f));
    f->store.ops = &ops;
    f->real = real;
    *ret_store = &f->store;
    return r;
}

/* ---- the daemon ---- */

static void on_terminate(void *ctx)
{
    persist_finish(ctx);
}

static void on_open(void *ctx)
{
    if (write(*(int *)ctx, "", 1) != 1)
        _exit(1);
}

static void run_daemon(struct config *config, int report)
{
    int fold_fd = fold_server_spawn();
    struct store_source source = {.name = "under test", .open = open_faulty, .ctx = config};
    struct control *control;
    struct loop *loop = loop_new();

    log_init("snapshotd", LOG_LEVEL_ERROR);
    if (fold_fd < 0 || config_make_run(config) < 0)
        _exit(1);
    struct persist *persist = persist_new(loop, config, fold_fd, &source, on_open, &report);
    loop_on_terminate(loop, on_terminate, persist);
    if (control_new(loop, config, persist, &control) < 0)
        _exit(1);
    int status = loop_run(loop);
    control_free(control);
    persist_free(persist);
    loop_free(loop);
    _exit(status);
}

void daemon_start(struct daemon *d, enum fault fault, uint32_t snapshot_updates)
{
    char byte;
    int fds[2];

    free(d->data);
    free(d->rooms);
    d->data = xasprintf("%s/data", d->dir);
    struct config config = {.data = d->data,
                            .run = xasprintf("%s/run", d->dir),
                            .snapshot_updates = snapshot_updates,
                            .snapshot_ms = 3600000,
                            .room_turn_cpu_ms = 50};
    d->rooms = config_rooms_dir(&config);
    cr_assert_eq(pipe(fds), 0);
    fault_left = fault;
    d->pid = fork();
    cr_assert_geq(d->pid, 0);
    if (d->pid == 0) {
        (void)close(fds[0]);
        run_daemon(&config, fds[1]);
    }
    (void)close(fds[1]);
    cr_assert_eq(read(fds[0], &byte, 1), 1, "it does not start");
    (void)close(fds[0]);
    char *path CLEANUP_FREE = config_snapshotd_socket(&config);
    d->roomd = ipc_connect(path);
    cr_assert_geq(d->roomd, 0);
    free(config.run);
}

pid_t daemon_fold_server(const struct daemon *d)
{
    char *path CLEANUP_FREE = xasprintf("/proc/%d/task/%d/children", d->pid, d->pid);
    FILE *f = fopen(path, "re");
    int pid;

    cr_assert_not_null(f);
    cr_assert_eq(fscanf(f, "%d", &pid), 1);
    (void)fclose(f);
    return pid;
}

int daemon_stop(struct daemon *d, int sig)
{
    int status;

    (void)kill(d->pid, sig);
    cr_assert_eq(waitpid(d->pid, &status, 0), d->pid);
    (void)close(d->roomd);
    d->pid = 0;
    return status;
}

void daemon_done(struct daemon *d)
{
    if (d->pid > 0)
        (void)daemon_stop(d, SIGKILL);
    free(d->data);
    free(d->rooms);
}

/* ---- frames ---- */

void send_frame(int fd, struct blob *frame)
{
    cr_assert_eq(send(fd, frame->data, frame->len, MSG_NOSIGNAL), (ssize_t)frame->len);
    blob_unref(frame);
}

int daemon_follow(struct daemon *d, const char *room)
{
    struct msg_store_room m = {.tenant = slice_str(TENANT), .room = slice_str(room)};
    struct timeval silence = {.tv_sec = SILENCE_S};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {0};
    int fds[2];

    cr_assert_eq(ipc_pair(fds), 0);
    struct blob *frame = proto_encode_store_room(&m);
    struct iovec iov = {frame->data, frame->len};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = sizeof(control)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fds[0], sizeof(int));
    cr_assert_eq(sendmsg(d->roomd, &msg, 0), (ssize_t)frame->len);
    blob_unref(frame);
    (void)close(fds[0]);
    cr_assert_eq(setsockopt(fds[1], SOL_SOCKET, SO_RCVTIMEO, &silence, sizeof(silence)), 0);
    return fds[1];
}

/* False at the end of the stream. */
static bool receive_bytes(int fd, uint8_t *data, size_t len)
{
    ssize_t n = recv(fd, data, len, MSG_WAITALL);

    cr_assert(n == (ssize_t)len || n == 0 || (n < 0 && errno == ECONNRESET), "silence: %s",
              strerror(errno));
    return n > 0;
}

struct buffer receive_frame(int fd)
{
    struct buffer body = {0};
    uint8_t header[IPC_HEADER];

    if (receive_bytes(fd, header, sizeof(header))) {
        size_t len =
            header[0] | (size_t)header[1] << 8 | (size_t)header[2] << 16 | (size_t)header[3] << 24;
        cr_assert(receive_bytes(fd, buffer_reserve(&body, len), len));
        buffer_add_len(&body, len);
    }
    return body;
}

void room_send_open(int fd, bool has_segment, uint64_t last_seq)
{
    struct msg_store_open m = {
        .has_segment = has_segment, .last_seq = last_seq, .lineage = LINEAGE};

    send_frame(fd, proto_encode_store_open(&m));
}

void room_send_open_as(int fd, uint64_t lineage, uint64_t last_seq, uint64_t stored_seq)
{
    struct msg_store_open m = {
        .has_segment = true, .last_seq = last_seq, .lineage = lineage, .stored_seq = stored_seq};

    send_frame(fd, proto_encode_store_open(&m));
}

void room_send_dirty(int fd, uint64_t last_seq)
{
    struct msg_store_dirty m = {.last_seq = last_seq};

    send_frame(fd, proto_encode_store_dirty(&m));
}

uint64_t room_receive_loaded(int fd, struct crdt_doc *doc, int *ret_parts)
{
    int parts = 0;

    for (;;) {
        struct buffer body = receive_frame(fd);
        struct msg_store_update update;
        struct msg_store_loaded loaded;
        if (proto_decode_store_loaded(buffer_slice(&body), &loaded) == 0) {
            buffer_done(&body);
            if (ret_parts)
                *ret_parts = parts;
            return loaded.stored_seq;
        }
        cr_assert_eq(proto_decode_store_update(buffer_slice(&body), &update), 0);
        cr_assert_not_null(doc, "an update that was not asked for");
        cr_assert_eq(crdt_doc_apply(doc, CRDT_V1, update.update.data, update.update.len, NULL), 0);
        parts++;
        buffer_done(&body);
    }
}

void room_expect_stored(int fd, uint64_t seq)
{
    struct msg_store_stored m = {0};

    do {
        struct buffer body = receive_frame(fd);
        cr_assert_eq(proto_decode_store_stored(buffer_slice(&body), &m), 0);
        cr_assert_leq(m.stored_seq, seq);
        buffer_done(&body);
    } while (m.stored_seq < seq);
}

void expect_end(int fd)
{
    struct buffer body = receive_frame(fd);

    cr_assert_eq(body.len, 0);
    buffer_done(&body);
    (void)close(fd);
}

/* ---- segments ---- */

static char *segment_path(struct daemon *d, const char *room)
{
    char hash[NAME_HASH_HEX + 1];

    name_hash(slice_str(TENANT), slice_str(room), hash);
    return xasprintf("%s/%s", d->rooms, hash);
}

void overwrite_segment(struct daemon *d, const char *room, uint64_t offset)
{
    char *path CLEANUP_FREE = segment_path(d, room);
    int fd CLEANUP_FD = open(path, O_WRONLY | O_CLOEXEC);

    cr_assert_eq(pwrite(fd, "\xee", 1, (off_t)offset), 1);
}

struct segment *segment_of(struct daemon *d, const char *room, uint64_t base_seq,
                           struct slice checkpoint)
{
    struct segment *s;
    char *path CLEANUP_FREE = segment_path(d, room);
    char *draft CLEANUP_FREE = xasprintf("%s.new", path);
    int fd = open(draft, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    cr_assert_eq(segment_create(fd, slice_str(TENANT), slice_str(room), base_seq, checkpoint, &s),
                 0);
    cr_assert_eq(rename(draft, path), 0);
    return s;
}

void segment_type(struct segment *s, struct crdt_doc *doc, uint64_t seq, const char *text)
{
    struct crdt_buf body = {0};
    struct crdt_buf update = {0};

    cr_assert_eq(crdt_doc_read(doc, CRDT_KIND_TEXT, "body", 4, &body), 0);
    cr_assert_eq(
        crdt_text_insert(doc, 7, crdt_root("body", 4), body.len, text, strlen(text), NULL, &update),
        0);
    struct segment_record record = {
        .seq = seq, .kind = SEGMENT_UPDATE_V1, .payload = slice_of(update.data, update.len)};
    cr_assert_eq(segment_append(s, &record, 1), 0);
    crdt_buf_done(&body);
    crdt_buf_done(&update);
}

void assert_body(const struct crdt_doc *doc, const char *text)
{
    struct crdt_buf body = {0};

    cr_assert_eq(crdt_doc_read(doc, CRDT_KIND_TEXT, "body", 4, &body), 0);
    cr_assert_eq(body.len, strlen(text));
    cr_assert_eq(memcmp(body.data, text, body.len), 0);
    crdt_buf_done(&body);
}
