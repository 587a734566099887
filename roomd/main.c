/* concord-roomd: starts and watches the processes of the rooms. */
#include "common/config.h"
#include "common/log.h"
#include "roomd/supervisor.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

int main(int argc, char **argv)
{
    struct config config;
    int rest;

    if (argc > 1 && strcmp(argv[1], "--version") == 0)
        return puts("concord-roomd " CONCORD_VERSION) < 0;
    if (argc > 1 && strcmp(argv[1], "--help") == 0) {
        (void)puts("usage: concord-roomd [options]\n\nRuns the rooms. Started by concord.\n");
        config_print_help(stdout);
        return 0;
    }
    if (config_parse(&config, argc - 1, argv + 1, &rest) < 0)
        return 2;
    if (rest != argc - 1) {
        (void)fprintf(stderr, "concord-roomd: takes no argument\n");
        return 2;
    }
    log_init("roomd", config.log_level);
    (void)umask(0077); /* segments hold documents */
    int status = supervisor_run(&config);
    config_done(&config);
    return status;
}
