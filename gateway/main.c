/* concord-gateway: terminates clients. Wiring only. */
#include "common/config.h"
#include "common/log.h"
#include "common/loop.h"
#include "gateway/gateway.h"

#include <stdio.h>
#include <sys/resource.h>

/* Each client takes a descriptor. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
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
    struct loop *loop = loop_new();
    if (gateway_new(loop, &config, &gateway) == 0)
        status = loop_run(loop);
    gateway_free(gateway);
    loop_free(loop);
    config_done(&config);
    return status;
}
