/* concord: the whole server on one machine, in the foreground. */
#include "common/config.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/notify.h"
#include "common/secret.h"
#include "common/address.h"
#include "ctl/launcher.h"
#include "ctl/lock.h"
#include "ctl/welcome.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define FAIL(...) ((void)fprintf(stderr, "concord: " __VA_ARGS__), false)

/* Without keys everybody who reaches the port may read and write every room. */
static bool check_host(struct config *config)
{
    if (strcmp(config->host, "localhost") == 0) {
        free(config->host);
        config->host = xstrdup("127.0.0.1");
    }
    if (config->keys[0] || address_is_loopback(config->host))
        return true;
    return FAIL("there are no keys that clients could be checked with, so it listens on a loopback "
                "address only (127.0.0.1 or ::1), not on '%s'\n",
                config->host);
}

static bool make_dirs(const struct config *config)
{
    int r;

    if (mkdir(config->data, 0700) < 0 && errno != EEXIST)
        return FAIL("%s cannot be made: %s\n", config->data, strerror(errno));
    r = config_make_run(config);
    if (r == -EPERM)
        return FAIL("%s is not a directory of this user\n", config->run);
    if (r < 0)
        return FAIL("%s cannot be made: %s\n", config->run, strerror(-r));
    return true;
}

static bool lock_dir(const char *dir, int *ret_fd)
{
    pid_t owner = 0;
    int r = lock_take(dir, ret_fd, &owner);

    if (r == -EBUSY && owner > 0)
        return FAIL("another one runs on %s (process %d)\n", dir, (int)owner);
    if (r == -EBUSY)
        return FAIL("another one runs on %s\n", dir);
    if (r < 0)
        return FAIL("%s cannot be locked: %s\n", dir, strerror(-r));
    return true;
}

static bool reserve_port(struct config *config, int *ret_fd)
{
    int r = address_reserve(config->host, config->port, ret_fd, &config->port);

    if (r == -EADDRINUSE)
        return FAIL("another program listens on %s port %u; choose one with --port\n", config->host,
                    (unsigned)config->port);
    if (r < 0)
        return FAIL("%s port %u cannot be used: %s\n", config->host, (unsigned)config->port,
                    strerror(-r));
    return true;
}

static void on_ready(void *ctx)
{
    const struct config *config = ctx;

    welcome_print(stdout, config->host, config->port, config->tls_cert[0]);
    notify_ready();
}

static void on_terminate(void *ctx)
{
    launcher_stop(ctx);
}

static void on_hangup(void *ctx)
{
    launcher_reload(ctx);
}

static int supervise(struct config *config, const int *lock_fds, size_t lock_count)
{
    struct launcher_hooks hooks = {.on_ready = on_ready, .ctx = config};
    struct loop *loop = loop_new();
    struct launcher *launcher = launcher_new(loop, config, lock_fds, lock_count, &hooks);
    int status = 1;

    if (launcher) {
        loop_on_terminate(loop, on_terminate, launcher);
        /* Without files there is nothing to reload, and a terminal that is closed ends us. */
        if (config->tls_cert[0] || config->keys[0])
            loop_on_hangup(loop, on_hangup, launcher);
        launcher_start(launcher);
        status = loop_run(loop);
    }
    launcher_free(launcher);
    loop_free(loop);
    return status;
}

static int run(struct config *config)
{
    int data_lock CLEANUP_FD = -1;
    int run_lock CLEANUP_FD = -1;
    int port_fd CLEANUP_FD = -1;

    if (!check_host(config) || !make_dirs(config) || !lock_dir(config->data, &data_lock) ||
        !lock_dir(config->run, &run_lock) || !reserve_port(config, &port_fd))
        return 1;
    if (config->gateways == 0) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        config->gateways = cores > 256 ? 256 : cores > 0 ? (uint32_t)cores : 1;
    }
    int locks[] = {data_lock, run_lock};
    return supervise(config, locks, sizeof(locks) / sizeof(locks[0]));
}

int main(int argc, char **argv)
{
    struct config config;
    int rest;

    if (argc > 1 && strcmp(argv[1], "--version") == 0)
        return puts("concord " CONCORD_VERSION) < 0;
    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        (void)puts("usage: concord [options]\n\nA server for real-time collaboration. Runs in the "
                   "foreground; Ctrl-C stops it.\n");
        config_print_help(stdout);
        return 0;
    }
    if (config_parse(&config, argc - 1, argv + 1, &rest) < 0)
        return 2;
    if (rest != argc - 1) {
        (void)fprintf(stderr, "concord: there is no argument '%s'; see concord --help\n",
                      argv[1 + rest]);
        return 2;
    }
    secret_hide_process(); /* the store's URL */
    log_init("concord", config.log_level);
    int status = run(&config);
    config_done(&config);
    return status;
}
