/* concord-snapshotd: the only process that has the store. */
#include "common/config.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/metrics.h"
#include "common/notify.h"
#include "snapshotd/control.h"
#include "snapshotd/persist.h"
#include "snapshotd/store_sqlite.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

static int open_store(void *ctx, struct store **ret_store)
{
    const struct config *config = ctx;

    return store_sqlite_open(config->data, ret_store);
}

static void on_terminate(void *ctx)
{
    persist_finish(ctx);
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

static int run(struct config *config)
{
    struct persist *persist;
    struct control *control;
    struct loop *loop = loop_new();
    int r = config_make_run(config);

    if (r < 0)
        log_fatal("%s cannot be used: %s", config->run, strerror(-r));
    metrics_start(config, "snapshotd");
    r = persist_new(loop, config, open_store, config, &persist);
    if (r < 0)
        log_fatal("the store in %s cannot be opened: %s", config->data, store_strerror(r));
    loop_on_terminate(loop, on_terminate, persist);
    r = control_new(loop, config, persist, &control);
    if (r < 0)
        log_fatal("cannot listen in %s: %s", config->run, strerror(-r));
    notify_ready();
    log_info("the store in %s is open", config->data);

    int status = loop_run(loop);
    control_free(control);
    persist_free(persist);
    loop_free(loop);
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
    if (config_parse(&config, argc - 1, argv + 1, &rest) < 0)
        return 2;
    if (rest != argc - 1) {
        (void)fprintf(stderr, "concord-snapshotd: takes no argument\n");
        return 2;
    }
    log_init("snapshotd", config.log_level);
    (void)umask(0077); /* what is stored is for this user only */
    raise_descriptor_limit();
    int status = run(&config);
    config_done(&config);
    return status;
}
