/*
 * Configuration: one table of keys (config.c), the same for every process, read from an ini file
 * and then from the command line (`--key value` or `--key=value`, dashes for underscores). An
 * unknown key or a bad value is an error that names it. `concord` passes its own settings on to the
 * processes that it starts, so all see the same.
 */
#pragma once

#include "common/client_limits.h"
#include "common/log.h"
#include "common/memory.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Of the environment: `store`, where that is not set otherwise. */
#define CONFIG_STORE_ENV "DATABASE_URL"

struct config {
    char *host;                /* address to listen on */
    char *data;                /* directory of what is kept: the SQLite file */
    char *store;               /* sqlite:DIR or a PostgreSQL URL; empty: SQLite in `data` */
    char *run;                 /* directory of sockets and segments; tmpfs */
    char *web;                 /* directory of the pages */
    char *doc_token_key;       /* file with the secret of document tokens; empty: one in `run` */
    char *ack;                 /* what an acknowledgement says, by room (ack_level.h) */
    char *keys;                /* file of the keys that tokens are checked with; empty: none */
    char *audience;            /* that tokens must be for; empty: any */
    char *issuer;              /* that tokens must be of; empty: any */
    char *origins;             /* of pages that may use the server, with commas between them */
    bool origin_required;      /* only pages may use it */
    uint32_t port;             /* 0: any free one */
    uint32_t gateways;         /* processes; 0: one per core */
    uint32_t room_idle_ms;     /* an unused room closes after this long */
    uint32_t room_memory_mib;  /* address space of a room; 0: no bound */
    uint32_t room_turn_cpu_ms; /* processor time that a room may take at a time; 0: no bound */
    uint32_t snapshot_updates; /* a room is folded after this many updates */
    uint32_t snapshot_ms;      /* or this long after the first of them */
    uint32_t message_bytes;    /* largest message of a client */
    uint32_t query_token_s;    /* a token in a query lives this much longer at most */
    uint32_t revocation_hours; /* a revocation is kept this long */
    bool compression;          /* WebSockets may be compressed */
    uint32_t drain_ms;         /* a gateway that stops spreads the end of its WebSockets so long */
    char *tls_cert;            /* PEM files, both or none: with them the port speaks TLS */
    char *tls_key;
    char *trusted_proxies; /* whose word about clients is taken, by networks.h */
    bool proxy_protocol;   /* they begin connections with a PROXY header */
    struct client_limits limits;
    enum log_level log_level;
};

/* Reads defaults, then `--config FILE` if given, then the other options. `argv` without the program
 * name; stops at the first argument that is no option and returns its index in `*ret_rest`. Where
 * no `run` is given one is derived from `data` (see config_default_run). On failure prints one line
 * to stderr and returns -EINVAL. */
WARN_UNUSED int config_parse(struct config *config, int argc, char **argv, int *ret_rest);
void config_done(struct config *config);

/* The options that make another process see the same configuration: a NULL-terminated argv tail
 * of newly allocated strings in a newly allocated array. `store` is not among them, as everybody
 * can read a process's arguments: it goes to snapshotd alone, in CONFIG_STORE_ENV of its
 * environment. */
char **config_to_argv(const struct config *config);

/* Prints every key with its default and meaning. */
void config_print_help(FILE *out);

/* Makes `run` and `run`/rooms (mode 0700, owned by this user; -EPERM if they exist and are not). */
WARN_UNUSED int config_make_run(const struct config *config);

/* Newly allocated paths below `run`. */
char *config_roomd_socket(const struct config *config);
char *config_adopt_socket(const struct config *config);
char *config_snapshotd_socket(const struct config *config);
char *config_rooms_dir(const struct config *config);
char *config_metrics_dir(const struct config *config);
char *config_census_dir(const struct config *config);
