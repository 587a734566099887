/* concord-gateway: terminates clients. Wiring only. */
#include "common/config.h"
#include "common/log.h"
#include "common/loop.h"
#include "gateway/gateway.h"

#include <malloc.h>
#include <stdio.h>
#include <sys/resource.h>

#define LARGE_BYTES (256 << 10)

/* Each client takes a descriptor. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* Large blocks, which are documents and long messages, go back to the system when they are freed.
 * Left to itself malloc raises the bound with the first of them, and keeps the next. */
static void give_memory_back(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
}

int main(int argc, char **argv)
{
    struct config config;
    struct gateway *gateway = NULL;
    int rest;
    int status = 1;

    if (config_parse(&config, argc - 1, argv + 1, &rest) < 0)
        return 2;
    if (rest < argc - 1) {
        (void)fprintf(stderr, "concord-gateway: unexpected argument '%s'\n", argv[1 + rest]);
        config_done(&config);
        return 2;
    }
    log_init("gateway", config.log_level);
    raise_descriptor_limit();
    give_memory_back();
    struct loop *loop = loop_new();
    if (gateway_new(loop, &config, &gateway) == 0)
        status = loop_run(loop);
    gateway_free(gateway);
    loop_free(loop);
    config_done(&config);
    return status;
}
