#include "ctl/doctor_replay.h"

#include "crdt/crdt.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>

/* Those of a room. */
static const struct crdt_limits document_limits = {.structs = 8u << 20,
                                                   .output_bytes = (size_t)512 << 20};

/* What the child tells while it goes, in shared memory: it may end at any moment. */
struct progress {
    volatile size_t item;
    uint64_t structs;
    uint64_t pending_bytes;
};

struct replay {
    const struct replay_item *items;
    size_t count;
    const struct replay_limits *limits;
    struct progress *progress;
};

/* ---- in the child ---- */

/* Bytes of address space that this process has. */
static uint64_t address_space(void)
{
    unsigned long long pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");

    if (f && fscanf(f, "%llu", &pages) != 1)
        pages = 0;
    if (f)
        (void)fclose(f);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void limit_memory(const struct replay_limits *limits)
{
#ifndef __SANITIZE_ADDRESS__ /* it reserves terabytes */
    uint64_t bytes = limits->memory_bytes ? limits->memory_bytes : REPLAY_MEMORY_BYTES;
    struct rlimit r = {.rlim_cur = address_space() + bytes, .rlim_max = address_space() + bytes};

    (void)setrlimit(RLIMIT_AS, &r);
#else
    (void)limits;
    (void)address_space;
#endif
}

/* The time of one item begins. SIGPROF ends the process when it is over. */
static void start_clock(const struct replay_limits *limits)
{
    uint32_t ms = limits->cpu_ms ? limits->cpu_ms : REPLAY_CPU_MS;
    struct itimerval timer = {
        .it_value = {.tv_sec = ms / 1000, .tv_usec = (suseconds_t)(ms % 1000) * 1000}};

    (void)setitimer(ITIMER_PROF, &timer, NULL);
}

static int encode(const struct crdt_doc *doc)
{
    struct crdt_buf state = {0};
    int r = crdt_doc_encode(doc, CRDT_V1, NULL, 0, &state);

    crdt_buf_done(&state);
    return r;
}

static void take_figures(const struct crdt_doc *doc, struct progress *progress)
{
    struct crdt_stats stats;

    crdt_doc_stats(doc, &stats);
    progress->structs = stats.structs;
    progress->pending_bytes = stats.pending_bytes;
}

static int replay(void *ctx)
{
    struct replay *replay = ctx;
    struct crdt_doc *doc = crdt_doc_new(&document_limits);
    int r = doc ? 0 : -ENOMEM;

    for (size_t i = 0; r == 0 && i < replay->count; i++) {
        const struct replay_item *item = &replay->items[i];
        replay->progress->item = i;
        start_clock(replay->limits);
        /* The checkpoint of a document that was never edited is empty. */
        if (!item->is_left_out && item->update.len > 0)
            r = crdt_doc_apply(doc, CRDT_V1, item->update.data, item->update.len, NULL);
    }
    if (r == 0) {
        replay->progress->item = replay->count;
        start_clock(replay->limits);
        r = encode(doc);
    }
    if (r == 0)
        take_figures(doc, replay->progress);
    return r;
}

static void be_child(int (*fn)(void *ctx), void *ctx, const struct replay_limits *limits,
                     volatile int *ret_code)
{
    struct rlimit no_core = {0};

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)setrlimit(RLIMIT_CORE, &no_core);
    (void)signal(SIGPROF, SIG_DFL);
    limit_memory(limits);
    start_clock(limits);
    *ret_code = fn(ctx);
    _exit(*ret_code == 0 ? EXIT_SUCCESS : EXIT_FAILURE);
}

/* ---- in the parent ---- */

static void judge(int status, int code, struct replay_result *result)
{
    if (WIFSIGNALED(status)) {
        bool is_endless = WTERMSIG(status) == SIGPROF;
        result->verdict = is_endless ? REPLAY_ENDLESS : REPLAY_SIGNALED;
        result->code = WTERMSIG(status);
    } else if (code < 0) {
        result->verdict = REPLAY_REFUSED;
        result->code = code;
    } else {
        result->verdict = WEXITSTATUS(status) == EXIT_SUCCESS ? REPLAY_FINE : REPLAY_ENDED;
        result->code = WEXITSTATUS(status);
    }
}

int replay_in_child(int (*fn)(void *ctx), void *ctx, const struct replay_limits *limits,
                    struct replay_result *ret)
{
    static const struct replay_limits defaults = {0};
    int status;
    volatile int *code =
        mmap(NULL, sizeof(*code), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (code == MAP_FAILED)
        return -errno;
    *ret = (struct replay_result){0};
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        be_child(fn, ctx, limits ? limits : &defaults, code);
    int r = pid < 0 ? -errno : 0;
    while (r == 0 && waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR)
            r = -errno;
    }
    if (r == 0)
        judge(status, *code, ret);
    (void)munmap((void *)code, sizeof(*code));
    return r;
}

int replay_run(const struct replay_item *items, size_t count, const struct replay_limits *limits,
               struct replay_result *ret_result)
{
    static const struct replay_limits defaults = {0};
    struct replay_result result = {0};
    struct progress *progress =
        mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (progress == MAP_FAILED)
        return -errno;
    limits = limits ? limits : &defaults;
    struct replay job = {.items = items, .count = count, .limits = limits, .progress = progress};
    int r = replay_in_child(replay, &job, limits, &result);
    if (r == 0) {
        result.item = progress->item;
        result.structs = progress->structs;
        result.pending_bytes = progress->pending_bytes;
        *ret_result = result;
    }
    (void)munmap(progress, sizeof(*progress));
    return r;
}

/* ---- merging ---- */

struct merging {
    const struct slice *updates;
    size_t count;
    int fd; /* where the result goes */
};

static int write_all(int fd, const uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno != EINTR)
            return -errno;
        data += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int merge(void *ctx)
{
    const struct merging *m = ctx;
    struct crdt_slice *updates = xcalloc(m->count + 1, sizeof(*updates));
    struct crdt_buf merged = {0};
    size_t count = 0;

    for (size_t i = 0; i < m->count; i++) {
        if (m->updates[i].len > 0) /* as of an empty checkpoint */
            updates[count++] = (struct crdt_slice){m->updates[i].data, m->updates[i].len};
    }
    int r = crdt_update_merge(CRDT_V1, updates, count, NULL, &merged);
    if (r == 0)
        r = write_all(m->fd, merged.data, merged.len);
    crdt_buf_done(&merged);
    free(updates);
    return r;
}

static int read_back(int fd, struct buffer *out)
{
    off_t len = lseek(fd, 0, SEEK_END);
    uint8_t *to = len < 0 ? NULL : buffer_reserve(out, (size_t)len);

    if (len < 0 || pread(fd, to, (size_t)len, 0) != len)
        return -EIO;
    buffer_add_len(out, (size_t)len);
    return 0;
}

int replay_merge(const struct slice *updates, size_t count, struct buffer *out)
{
    struct replay_result result;
    int fd CLEANUP_FD = memfd_create("merged", MFD_CLOEXEC);
    struct merging m = {.updates = updates, .count = count, .fd = fd};

    if (fd < 0)
        return -errno;
    int r = replay_in_child(merge, &m, NULL, &result);
    if (r < 0)
        return r;
    if (result.verdict == REPLAY_REFUSED)
        return result.code;
    return result.verdict == REPLAY_FINE ? read_back(fd, out) : -ECHILD;
}

/* ---- words ---- */

static const char *describe_refusal(int error)
{
    switch (-error) {
    case EBADMSG:
        return "does not decode";
    case E2BIG:
        return "is over a limit of a room";
    case ENOMEM:
        return "needs more memory than a room has";
    }
    return strerror(-error);
}

char *replay_describe(const struct replay_result *result)
{
    switch (result->verdict) {
    case REPLAY_FINE:
        break;
    case REPLAY_REFUSED:
        return xstrdup(describe_refusal(result->code));
    case REPLAY_SIGNALED:
        return xasprintf("kills the room: signal %d (%s)", result->code, strsignal(result->code));
    case REPLAY_ENDLESS:
        return xstrdup("does not come to an end: the CPU time of one update is over");
    case REPLAY_ENDED:
        return xasprintf("ends the room with status %d", result->code);
    }
    return xstrdup("is fine");
}
