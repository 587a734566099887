#include "snapshotd/fold_child.h"

#include "crdt/crdt.h"
#include "proto/messages.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>

static void set_limit(__rlimit_resource_t resource, rlim_t limit)
{
    struct rlimit r = {.rlim_cur = limit, .rlim_max = limit};

    (void)setrlimit(resource, &r);
}

/* `bytes` of updates are mapped beside what the limit is for. */
static void confine(size_t bytes, const struct fold_limits *limits)
{
    struct itimerval timer = {.it_value = {.tv_sec = limits->cpu_ms / 1000,
                                           .tv_usec = (suseconds_t)(limits->cpu_ms % 1000) * 1000}};

    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    set_limit(RLIMIT_CORE, 0);
    set_limit(RLIMIT_FSIZE, FOLD_STATE_MAX);
#ifndef __SANITIZE_ADDRESS__     /* it reserves terabytes, and opens files for its report */
    set_limit(RLIMIT_NOFILE, 0); /* nothing more can be opened */
    if (limits->memory_mib > 0)
        set_limit(RLIMIT_AS, ((rlim_t)limits->memory_mib << 20) + bytes);
#else
    (void)bytes;
#endif
    (void)signal(SIGPROF, SIG_DFL);
    (void)setitimer(ITIMER_PROF, &timer, NULL);
}

static int fold(const uint8_t *bytes, size_t len, struct crdt_buf *state)
{
    static const struct crdt_limits limits = {.output_bytes = FOLD_STATE_MAX};
    struct crdt_doc *doc = crdt_doc_new(&limits);
    uint32_t update_len;
    int r = doc ? 0 : -ENOMEM;

    for (size_t at = 0; r == 0 && at < len; at += update_len) {
        memcpy(&update_len, bytes + at, sizeof(update_len));
        at += sizeof(update_len);
        r = crdt_doc_apply(doc, CRDT_V1, bytes + at, update_len, NULL);
    }
    return r < 0 ? r : crdt_doc_encode(doc, CRDT_V1, NULL, 0, state);
}

static int write_all(int fd, const uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, data, len);
        if (n <= 0)
            return -EIO;
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

_Noreturn void fold_child_run(int updates, int state_fd, const struct fold_limits *limits)
{
    struct crdt_buf state = {0};
    struct stat st;

    if (fstat(updates, &st) < 0)
        _exit(EIO);
    size_t len = (size_t)st.st_size;
    const uint8_t *bytes = mmap(NULL, len, PROT_READ, MAP_PRIVATE, updates, 0);
    if (bytes == MAP_FAILED)
        _exit(ENOMEM);
    confine(len, limits);
    int r = fold(bytes, len, &state);
    if (r == 0)
        r = write_all(state_fd, state.data, state.len);
    _exit(-r);
}
