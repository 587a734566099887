#include "common/config.h"

#include "common/ack_level.h"
#include "common/names.h"
#include "common/networks.h"

#include <errno.h>
#include <ini.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SHM_DIR "/dev/shm"

enum key_type {
    KEY_STRING,
    KEY_NUMBER,
    KEY_SWITCH, /* on or off: a bool */
    KEY_LOG_LEVEL,
    KEY_ACK_LEVELS,
    KEY_NETWORKS,
    KEY_STORE, /* may hold a password: never on a command line */
};

struct key {
    const char *name;
    enum key_type type;
    size_t offset;
    uint32_t min;
    uint32_t max;
    const char *fallback;
    const char *help;
};

#define KEY(field, type, min, max, fallback, help)                                                 \
    {                                                                                              \
#field, type, offsetof(struct config, field), min, max, fallback, help                     \
    }

#define LIMIT_KEY(NAME, name, process, least, most, fallback, help)                                \
    {"limit_" #name, KEY_NUMBER, offsetof(struct config, limits.name), least, most,                \
     #fallback,      help},

static const struct key keys[] = {
    KEY(host, KEY_STRING, 1, 255, "127.0.0.1", "address to listen on"),
    KEY(port, KEY_NUMBER, 0, 65535, "8080", "port to listen on; 0 takes a free one"),
    KEY(data, KEY_STRING, 1, PATH_MAX, "./data", "directory of the store"),
    KEY(store, KEY_STORE, 0, 4096, "",
        "sqlite:DIRECTORY or postgresql://…; DATABASE_URL if empty, or else SQLite in data"),
    KEY(run, KEY_STRING, 0, PATH_MAX, "",
        "directory of sockets and open rooms, in memory; derived from data if empty"),
    KEY(web, KEY_STRING, 0, PATH_MAX, "", "directory of the pages; none are served if empty"),
    KEY(doc_token_key, KEY_STRING, 0, PATH_MAX, "",
        "file with the secret of y-sweet document tokens; one in run if empty"),
    KEY(gateways, KEY_NUMBER, 0, 256, "0", "gateway processes; 0 takes one per core"),
    KEY(room_idle_ms, KEY_NUMBER, 1, 86400000, "30000", "an unused room closes after this long"),
    KEY(room_memory_mib, KEY_NUMBER, 0, 1048576, "2048",
        "memory of a room in MiB (address space); 0 sets no bound"),
    KEY(room_turn_cpu_ms, KEY_NUMBER, 0, 3600000, "10000",
        "processor time that a room may take before it answers; 0 sets no bound"),
    KEY(snapshot_updates, KEY_NUMBER, 1, 1000000, "200",
        "a room's updates are folded into a snapshot when there are this many"),
    KEY(snapshot_ms, KEY_NUMBER, 1, 86400000, "5000", "or when the oldest of them is this old"),
    KEY(message_bytes, KEY_NUMBER, 1024, 64 << 20, "16777216", "largest message of a client"),
    KEY(query_token_s, KEY_NUMBER, 1, 31536000, "3600",
        "a token in a query may live this many seconds longer; others may live for ever"),
    KEY(revocation_hours, KEY_NUMBER, 1, 8760, "168",
        "what was revoked is remembered this long; longer than any token lives"),
    KEY(compression, KEY_SWITCH, 0, 0, "off",
        "whether clients may have messages compressed: on or off"),
    KEY(drain_ms, KEY_NUMBER, 0, 600000, "3000",
        "a gateway that stops closes its WebSockets spread over so long; 0: at once"),
    KEY(tls_cert, KEY_STRING, 0, PATH_MAX, "",
        "PEM file of the certificate and its chain; with tls_key the port speaks TLS"),
    KEY(tls_key, KEY_STRING, 0, PATH_MAX, "", "PEM file of its private key"),
    KEY(proxy_protocol, KEY_SWITCH, 0, 0, "off",
        "on: only trusted_proxies connect, and each says for whom by a PROXY header, version 2"),
    KEY(trusted_proxies, KEY_NETWORKS, 0, 4096, "",
        "addresses and networks, separated by commas, whose word about clients is taken"),
    KEY(ack, KEY_ACK_LEVELS, 1, 4096, "stored",
        "what an acknowledgement says: stored or room; 'drafts/*=room, stored' for some rooms"),
    KEY(keys, KEY_STRING, 0, PATH_MAX, "",
        "file of the keys that clients' tokens are checked with; empty: none, loopback only"),
    KEY(audience, KEY_STRING, 0, 255, "", "aud that tokens must have; any if empty"),
    KEY(issuer, KEY_STRING, 0, 255, "", "iss that tokens must have; any if empty"),
    KEY(origins, KEY_STRING, 0, 65535, "",
        "origins of pages that may use the server; its own if empty"),
    KEY(origin_required, KEY_SWITCH, 0, 0, "off", "on: clients that send no Origin are refused"),
    KEY(log_level, KEY_LOG_LEVEL, 0, 0, "info", "error, warn, info or debug"),
    CLIENT_LIMITS(LIMIT_KEY)};

#define KEY_COUNT (sizeof(keys) / sizeof(keys[0]))

static void *field_of(const struct config *config, const struct key *key)
{
    return (char *)config + key->offset;
}

/* An option may be written with dashes for underscores. */
static const struct key *find_key(const char *name, size_t len)
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        size_t k = 0;
        while (k < len && keys[i].name[k] &&
               (keys[i].name[k] == name[k] || (keys[i].name[k] == '_' && name[k] == '-')))
            k++;
        if (k == len && !keys[i].name[k])
            return &keys[i];
    }
    return NULL;
}

static int set_number(const struct key *key, const char *value, uint32_t *ret)
{
    char *rest;

    errno = 0;
    unsigned long n = strtoul(value, &rest, 10);
    if (errno || rest == value || *rest || value[0] < '0' || value[0] > '9' || n < key->min ||
        n > key->max)
        return -EINVAL;
    *ret = (uint32_t)n;
    return 0;
}

static bool is_text(const struct key *key)
{
    return key->type == KEY_STRING || key->type == KEY_ACK_LEVELS || key->type == KEY_STORE ||
           key->type == KEY_NETWORKS;
}

static int set_string(struct config *config, const struct key *key, const char *value)
{
    char **field = field_of(config, key);

    if (strlen(value) < key->min || strlen(value) > key->max)
        return -EINVAL;
    free(*field);
    *field = xstrdup(value);
    return 0;
}

static int set_networks(struct config *config, const struct key *key, const char *value)
{
    struct networks networks;
    int r = networks_parse(value, &networks);

    if (r < 0)
        return r;
    networks_done(&networks);
    return set_string(config, key, value);
}

static int set_switch(const char *value, bool *ret)
{
    bool is_on = strcmp(value, "on") == 0;

    if (!is_on && strcmp(value, "off") != 0)
        return -EINVAL;
    *ret = is_on;
    return 0;
}

static int set_value(struct config *config, const struct key *key, const char *value)
{
    switch (key->type) {
    case KEY_STORE:
    case KEY_STRING:
        return set_string(config, key, value);
    case KEY_NUMBER:
        return set_number(key, value, field_of(config, key));
    case KEY_SWITCH:
        return set_switch(value, field_of(config, key));
    case KEY_LOG_LEVEL:
        return log_level_parse(value, field_of(config, key));
    case KEY_ACK_LEVELS: {
        enum ack_level level;
        int r = ack_level_of(value, slice_str("any"), &level);
        return r < 0 ? r : set_string(config, key, value);
    }
    case KEY_NETWORKS:
        return set_networks(config, key, value);
    }
    return -EINVAL;
}

static int set_key(struct config *config, const char *name, size_t len, const char *value)
{
    const struct key *key = find_key(name, len);

    if (!key) {
        (void)fprintf(stderr, "concord: there is no setting '%.*s'\n", (int)len, name);
        return -EINVAL;
    }
    if (set_value(config, key, value) < 0) {
        (void)fprintf(stderr, "concord: bad value for '%s': %s\n", key->name, key->help);
        return -EINVAL;
    }
    return 0;
}

static int on_ini_line(void *user, const char *section, const char *name, const char *value)
{
    (void)section; /* sections are for the reader's eye */
    return set_key(user, name, strlen(name), value) == 0;
}

static int read_file(struct config *config, const char *path)
{
    int line = ini_parse(path, on_ini_line, config);

    if (line == 0)
        return 0;
    if (line < 0)
        (void)fprintf(stderr, "concord: %s cannot be read\n", path);
    else
        (void)fprintf(stderr, "concord: %s: line %d is not a setting\n", path, line);
    return -EINVAL;
}

static bool has_password(const char *value)
{
    const char *user = strstr(value, "://");
    const char *at = strrchr(value, '@');

    return strstr(value, "password=") ||
           (user && at && memchr(user + 3, ':', at > user + 3 ? (size_t)(at - user - 3) : 0));
}

static int set_option(struct config *config, const char *name, size_t len, const char *value)
{
    const struct key *key = find_key(name, len);

    if (key && key->type == KEY_STORE && has_password(value)) {
        (void)fprintf(stderr,
                      "concord: everybody on this host could read the password of '%s' on "
                      "the command line; put it into a file for --config, or into " CONFIG_STORE_ENV
                      " of the environment\n",
                      key->name);
        return -EINVAL;
    }
    return set_key(config, name, len, value);
}

/* One pass over the options: only `--config`, or everything else. Returns the index of the first
 * argument that is no option, or -EINVAL. */
static int read_options(struct config *config, int argc, char **argv, bool want_file)
{
    int i = 0;

    while (i < argc && strncmp(argv[i], "--", 2) == 0 && argv[i][2]) {
        const char *name = argv[i] + 2;
        const char *equals = strchr(name, '=');
        size_t len = equals ? (size_t)(equals - name) : strlen(name);
        const char *value = equals ? equals + 1 : (i + 1 < argc ? argv[i + 1] : NULL);
        int r = 0;
        if (!value) {
            (void)fprintf(stderr, "concord: '%s' needs a value\n", argv[i]);
            return -EINVAL;
        }
        bool is_file = len == 6 && strncmp(name, "config", 6) == 0;
        if (is_file && want_file)
            r = read_file(config, value);
        else if (!is_file && !want_file)
            r = set_option(config, name, len, value);
        if (r < 0)
            return r;
        i += equals ? 1 : 2;
    }
    return i;
}

/* $RUNTIME_DIRECTORY of a service; else a directory of this user in memory, named after the data
 * directory, so that every start on the same data finds the same rooms. */
static char *default_run(const struct config *config)
{
    const char *service = getenv("RUNTIME_DIRECTORY");
    char hash[NAME_HASH_HEX + 1];

    if (service && service[0] == '/')
        return xstrdup(service);
    char *real CLEANUP_FREE = realpath(config->data, NULL);
    if (!real)
        return NULL;
    name_hash(slice_str(real), slice_str("run"), hash);
    if (access(SHM_DIR, W_OK) == 0)
        return xasprintf("%s/concord-%u-%.16s", SHM_DIR, (unsigned)geteuid(), hash);
    return xasprintf("%s/run", real);
}

static int settle_store(struct config *config)
{
    static const char name[] = "store";
    const char *value = getenv(CONFIG_STORE_ENV);

    return config->store[0] || !value ? 0 : set_key(config, name, strlen(name), value);
}

/* Settings that make no sense without each other. */
static int check_together(const struct config *config)
{
    if (!config->tls_cert[0] != !config->tls_key[0]) {
        (void)fprintf(stderr, "concord: 'tls_cert' and 'tls_key' go together\n");
        return -EINVAL;
    }
    if (config->proxy_protocol && !config->trusted_proxies[0]) {
        (void)fprintf(stderr, "concord: with 'proxy_protocol' nobody could connect without "
                              "'trusted_proxies'\n");
        return -EINVAL;
    }
    return 0;
}

static int settle_run(struct config *config)
{
    if (config->run[0])
        return 0;
    /* The data directory must be there to have a name of its own. */
    if (mkdir(config->data, 0700) < 0 && errno != EEXIST) {
        (void)fprintf(stderr, "concord: %s cannot be made: %s\n", config->data, strerror(errno));
        return -EINVAL;
    }
    char *run = default_run(config);
    if (!run) {
        (void)fprintf(stderr, "concord: %s: %s\n", config->data, strerror(errno));
        return -EINVAL;
    }
    free(config->run);
    config->run = run;
    return 0;
}

int config_parse(struct config *config, int argc, char **argv, int *ret_rest)
{
    *config = (struct config){0};
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (set_value(config, &keys[i], keys[i].fallback) < 0)
            log_panic("the default of '%s' is not valid", keys[i].name);
    }
    int rest = read_options(config, argc, argv, true);
    if (rest >= 0)
        rest = read_options(config, argc, argv, false);
    if (rest < 0 || check_together(config) < 0 || settle_store(config) < 0 ||
        settle_run(config) < 0) {
        config_done(config);
        return -EINVAL;
    }
    *ret_rest = rest;
    return 0;
}

void config_done(struct config *config)
{
    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (is_text(&keys[i]))
            free(*(char **)field_of(config, &keys[i]));
    }
    *config = (struct config){0};
}

static char *value_text(const struct config *config, const struct key *key)
{
    static const char *const levels[] = {"error", "warn", "info", "debug"};

    switch (key->type) {
    case KEY_STORE:
        break;
    case KEY_STRING:
    case KEY_ACK_LEVELS:
    case KEY_NETWORKS:
        return xstrdup(*(char **)field_of(config, key));
    case KEY_NUMBER:
        return xasprintf("%" PRIu32, *(uint32_t *)field_of(config, key));
    case KEY_SWITCH:
        return xstrdup(*(bool *)field_of(config, key) ? "on" : "off");
    case KEY_LOG_LEVEL:
        return xstrdup(levels[*(enum log_level *)field_of(config, key)]);
    }
    log_panic("a key without a text");
}

char **config_to_argv(const struct config *config)
{
    char **argv = xcalloc(KEY_COUNT + 1, sizeof(*argv));
    size_t count = 0;

    for (size_t i = 0; i < KEY_COUNT; i++) {
        if (keys[i].type == KEY_STORE)
            continue;
        char *value CLEANUP_FREE = value_text(config, &keys[i]);
        argv[count++] = xasprintf("--%s=%s", keys[i].name, value);
    }
    return argv;
}

void config_print_help(FILE *out)
{
    (void)fprintf(out, "  --%-26s %s\n", "config", "file of settings, one 'name = value' a line");
    for (size_t i = 0; i < KEY_COUNT; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "%s", keys[i].name);
        for (char *p = name; *p; p++)
            *p = *p == '_' ? '-' : *p;
        (void)fprintf(out, "  --%-26s %s (%s)\n", name, keys[i].help,
                      keys[i].fallback[0] ? keys[i].fallback : "empty");
    }
}

/* A directory that nobody else can have put there. */
static int make_private_dir(const char *path)
{
    struct stat st;

    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return -errno;
    if (lstat(path, &st) < 0)
        return -errno;
    if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid())
        return -EPERM;
    return st.st_mode & 0077 && chmod(path, 0700) < 0 ? -errno : 0;
}

int config_make_run(const struct config *config)
{
    char *rooms CLEANUP_FREE = config_rooms_dir(config);
    int r = make_private_dir(config->run);

    return r < 0 ? r : make_private_dir(rooms);
}

char *config_roomd_socket(const struct config *config)
{
    return xasprintf("%s/roomd.sock", config->run);
}

char *config_adopt_socket(const struct config *config)
{
    return xasprintf("%s/adopt.sock", config->run);
}

char *config_snapshotd_socket(const struct config *config)
{
    return xasprintf("%s/snapshotd.sock", config->run);
}

char *config_rooms_dir(const struct config *config)
{
    return xasprintf("%s/rooms", config->run);
}

char *config_metrics_dir(const struct config *config)
{
    return xasprintf("%s/metrics", config->run);
}

char *config_census_dir(const struct config *config)
{
    return xasprintf("%s/census", config->run);
}
