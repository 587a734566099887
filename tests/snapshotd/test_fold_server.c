/* Folds, with the planted faults of tests/planted in the process of each. */
#include "snapshotd/fold_server.h"

#include "crdt/crdt.h"
#include "planted.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define CPU_MS     200
#define MEMORY_MIB 64

static struct loop *loop;
static struct fold_server *server;
static struct crdt_doc *doc;

static bool has_ended;

static void on_end(void *ctx)
{
    (void)ctx;
    has_ended = true;
}

static const struct fold_limits limits = {.memory_mib = MEMORY_MIB, .cpu_ms = CPU_MS};

static void set_up(void)
{
    int fd = fold_server_spawn();

    cr_assert_geq(fd, 0);
    loop = loop_new();
    server = fold_server_new(loop, fd, &limits, on_end, NULL);
    doc = crdt_doc_new(NULL);
}

static void tear_down(void)
{
    fold_server_free(server);
    loop_free(loop);
    crdt_doc_free(doc);
}

TestSuite(fold_server, .init = set_up, .fini = tear_down, .timeout = 60);

/* Types `text` in front of everything; that edit is an update to be folded. */
static void add_typed(int updates, const char *text)
{
    struct crdt_buf update = {0};

    cr_assert_eq(
        crdt_text_insert(doc, 7, crdt_root("body", 4), 0, text, strlen(text), NULL, &update), 0);
    cr_assert_eq(fold_updates_add(updates, slice_of(update.data, update.len)), 0);
    crdt_buf_done(&update);
}

struct waiting {
    struct fold_result result;
    bool is_over;
};

static void keep_result(void *ctx, struct fold_result *result)
{
    struct waiting *w = ctx;

    w->result = *result;
    w->is_over = true;
}

static void start(int updates, struct waiting *w)
{
    fold_server_start(server, updates, keep_result, w);
    (void)close(updates);
}

static void run_until(const bool *is_over)
{
    while (!*is_over)
        cr_assert_eq(event_base_loop(loop_base(loop), EVLOOP_ONCE), 0);
}

static struct fold_result fold(int updates)
{
    struct waiting w = {0};

    start(updates, &w);
    cr_assert(!w.is_over, "not before it returns");
    run_until(&w.is_over);
    return w.result;
}

static struct fold_result fold_typed(const char *text)
{
    int updates = fold_updates_new();

    add_typed(updates, text);
    return fold(updates);
}

static void assert_folds(void)
{
    struct crdt_buf state = {0};
    int updates = fold_updates_new();

    crdt_doc_free(doc);
    doc = crdt_doc_new(NULL);
    add_typed(updates, "b");
    add_typed(updates, "a");
    struct fold_result result = fold(updates);
    cr_assert_eq(result.verdict, FOLD_DONE);
    cr_assert_eq(crdt_doc_encode(doc, CRDT_V1, NULL, 0, &state), 0);
    cr_assert_eq(result.state.len, state.len);
    cr_assert_eq(memcmp(result.state.data, state.data, state.len), 0);
    buffer_done(&result.state);
    crdt_buf_done(&state);
}

Test(fold_server, makes_one_state_of_many_updates)
{
    assert_folds();
    assert_folds();
}

static void assert_killed(const char *word, int signal_wanted)
{
    struct fold_result result = fold_typed(word);

    cr_assert_eq(result.verdict, FOLD_KILLED);
    cr_assert_eq(result.signal, signal_wanted, "%d", result.signal);
    assert_folds();
}

Test(fold_server, outlives_a_crash)
{
    assert_killed(PLANTED_CRASH, SIGSEGV);
}

Test(fold_server, ends_what_does_not_end)
{
    assert_killed(PLANTED_LOOP, SIGPROF);
}

#ifndef __SANITIZE_ADDRESS__ /* it cannot be bounded */
Test(fold_server, bounds_the_memory)
{
    assert_killed(PLANTED_MEMORY, SIGABRT);
}
#endif

Test(fold_server, says_what_does_not_decode)
{
    int updates = fold_updates_new();

    add_typed(updates, "a");
    cr_assert_eq(fold_updates_add(updates, slice_str("no update")), 0);
    struct fold_result result = fold(updates);
    cr_assert_eq(result.verdict, FOLD_REFUSED);
    cr_assert_eq(result.error, -EBADMSG);
    assert_folds();
}

Test(fold_server, forgets_what_was_cancelled)
{
    struct waiting cancelled = {0};
    int updates = fold_updates_new();

    add_typed(updates, "not wanted");
    start(updates, &cancelled);
    fold_server_cancel(server);
    assert_folds(); /* and not what came first */
    cr_assert(!cancelled.is_over);
}

Test(fold_server, a_fold_that_cannot_be_handed_over_has_failed)
{
    struct rlimit none = {0};
    struct rlimit before;
    struct waiting w = {0};
    int updates = fold_updates_new();

    add_typed(updates, "a");
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none.rlim_max = before.rlim_max;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0); /* no descriptor for the state */
    start(updates, &w);
    cr_assert(!w.is_over);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    run_until(&w.is_over);
    cr_assert_eq(w.result.verdict, FOLD_FAILED);
    cr_assert_eq(w.result.error, -EMFILE);
    assert_folds();
}

Test(fold_server, its_end_is_told)
{
    int sockets[2];

    fold_server_free(server);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets), 0);
    server = fold_server_new(loop, sockets[0], &limits, on_end, NULL);
    (void)close(sockets[1]);
    run_until(&has_ended);
}
