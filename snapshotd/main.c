/* concord-snapshotd: the only process that has the store. */
#include "common/config.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/metrics.h"
#include "common/notify.h"
#include "common/secret.h"
#include "snapshotd/control.h"
#include "snapshotd/fold_server.h"
#include "snapshotd/persist.h"
#include "snapshotd/store_place.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

static void on_terminate(void *ctx)
{
    persist_finish(ctx);
}

static void on_open(void *ctx)
{
    (void)ctx;
    notify_ready();
}

/* Two descriptors for each open room. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static int run(struct config *config, int fold_fd)
{
    struct store_place place;
    struct control *control;
    const char *fault = store_place_init(&place, config, false);
    int r = config_make_run(config);

    if (fault)
        log_fatal("the setting of the store cannot be used: %s", fault);
    if (r < 0)
        log_fatal("%s cannot be used: %s", config->run, strerror(-r));
    metrics_start(config, "snapshotd");
    struct loop *loop = loop_new();
    struct persist *persist = persist_new(loop, config, fold_fd, &place.source, on_open, NULL);
    loop_on_terminate(loop, on_terminate, persist);
    r = control_new(loop, config, persist, &control);
    if (r < 0)
        log_fatal("cannot listen in %s: %s", config->run, strerror(-r));

    int status = loop_run(loop);
    control_free(control);
    persist_free(persist);
    loop_free(loop);
    store_place_done(&place);
    return status;
}

int main(int argc, char **argv)
{
    struct config config;
    int rest;

    if (argc > 1 && strcmp(argv[1], "--version") == 0)
        return puts("concord-snapshotd " CONCORD_VERSION) < 0;
    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        (void)puts("usage: concord-snapshotd [options]\n\nStores what rooms publish. Started by "
                   "concord.\n");
        config_print_help(stdout);
        return 0;
    }
    int fold_fd = fold_server_spawn(); /* before anything is known that it must not know */
    if (config_parse(&config, argc - 1, argv + 1, &rest) < 0)
        return 2;
    if (rest != argc - 1) {
        (void)fprintf(stderr, "concord-snapshotd: takes no argument\n");
        return 2;
    }
    log_init("snapshotd", config.log_level);
    (void)umask(0077);     /* what is stored is for this user only */
    secret_hide_process(); /* the store's URL */
    raise_descriptor_limit();
    if (fold_fd < 0)
        log_fatal("no process for folding can be had: %s", strerror(-fold_fd));
    int status = run(&config, fold_fd);
    config_done(&config);
    return status;
}
