#include "ctl/command.h"

#include "common/buffer.h"
#include "common/config.h"
#include "common/loop.h"
#include "ctl/room_list.h"

#include <errno.h>
#include <stdbool.h>

/* A command line, taken apart. */
struct request {
    bool is_json;
    char **settings; /* those of the server, as config_parse() takes them; borrowed strings */
    int count;
};

static int run_rooms(const struct request *q);
static int run_help(const struct request *q);
static int run_version(const struct request *q);

static const struct command {
    const char *name;
    const char *arguments;
    const char *help;
    int (*fn)(const struct request *q);
} commands[] = {
    {"rooms", "[--json] [--data DIR | --run DIR]", "lists the open rooms", run_rooms},
    {"help", "", "prints this", run_help},
    {"version", "", "prints the version", run_version},
};

static const struct flag {
    const char *name;
    size_t offset;
    const char *help;
} flags[] = {
    {"--json", offsetof(struct request, is_json), "print JSON"},
};

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* ---- commands ---- */

static const char *find_setting(const struct request *q, const char *name)
{
    size_t len = strlen(name);
    const char *value = NULL;

    for (int i = 0; i < q->count; i++) {
        if (strncmp(q->settings[i], name, len) != 0)
            continue;
        if (q->settings[i][len] == '=')
            value = q->settings[i] + len + 1;
        else if (q->settings[i][len] == '\0' && i + 1 < q->count)
            value = q->settings[i + 1];
    }
    return value;
}

/* The directory of the segments, or NULL after a message. */
static char *find_rooms_dir(const struct request *q)
{
    const char *data = find_setting(q, "--data");
    struct config config;
    int rest;

    /* config_parse() makes a data directory that is not there. Here it means that another one was
     * meant. */
    data = data ? data : "./data";
    if (!find_setting(q, "--run") && !find_setting(q, "--config") && access(data, F_OK) < 0) {
        (void)fprintf(stderr, "concordctl: %s: %s; which server? --data DIR says it\n", data,
                      strerror(errno));
        return NULL;
    }
    if (config_parse(&config, q->count, q->settings, &rest) < 0)
        return NULL;
    char *dir = config_rooms_dir(&config);
    config_done(&config);
    return dir;
}

static int run_rooms(const struct request *q)
{
    struct room_list list;
    struct buffer out = {0};
    char *dir CLEANUP_FREE = find_rooms_dir(q);

    if (!dir)
        return 1;
    int r = room_list_read(&list, dir);
    if (r < 0) {
        (void)fprintf(stderr, "concordctl: %s: %s; does the server run?\n", dir, strerror(-r));
        return 1;
    }
    if (q->is_json)
        room_list_print_json(&list, wall_now_ms(), &out);
    else
        room_list_print_table(&list, wall_now_ms(), &out);
    bool is_written = fwrite(out.data, 1, out.len, stdout) == out.len && fflush(stdout) == 0;
    if (list.damaged > 0)
        (void)fprintf(stderr, "concordctl: %zu damaged files in %s\n", list.damaged, dir);
    buffer_done(&out);
    room_list_done(&list);
    return is_written ? 0 : 1;
}

static int run_help(const struct request *q)
{
    (void)q;
    command_print_help(stdout);
    return 0;
}

static int run_version(const struct request *q)
{
    (void)q;
    (void)puts("concordctl " CONCORD_VERSION);
    return 0;
}

void command_print_help(FILE *out)
{
    (void)fprintf(out, "usage: concordctl [settings] COMMAND [options]\n\n");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        (void)fprintf(out, "  %-8s %-36s %s\n", commands[i].name, commands[i].arguments,
                      commands[i].help);
    (void)fprintf(out, "\n");
    for (size_t i = 0; i < ARRAY_LEN(flags); i++)
        (void)fprintf(out, "  %-8s %s\n", flags[i].name, flags[i].help);
    (void)fprintf(out,
                  "\nSettings are those that the server was started with. --data or --run says "
                  "which server is\nmeant; the others are accepted and change nothing.\n");
}

/* ---- parser ---- */

static bool set_flag(struct request *q, const char *argument)
{
    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        if (strcmp(flags[i].name, argument) == 0) {
            *(bool *)((char *)q + flags[i].offset) = true;
            return true;
        }
    }
    return false;
}

static bool is_option(const char *argument)
{
    return argument[0] == '-' && argument[1] == '-' && argument[2];
}

static const struct command *find_command(const char *name)
{
    /* --help and --version are asked for everywhere. */
    name += is_option(name) ? 2 : 0;
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

/* Takes the command line apart. The command, or NULL after a message. */
static const struct command *parse(int argc, char **argv, struct request *q)
{
    const struct command *command = NULL;

    for (int i = 0; i < argc; i++) {
        const struct command *found = command ? NULL : find_command(argv[i]);
        if (found) {
            command = found;
        } else if (!is_option(argv[i])) {
            (void)fprintf(stderr, "concordctl: there is no %s '%s'\n",
                          command ? "argument" : "command", argv[i]);
            return NULL;
        } else if (!set_flag(q, argv[i])) {
            q->settings[q->count++] = argv[i];
            if (!strchr(argv[i], '=') && i + 1 < argc)
                q->settings[q->count++] = argv[++i];
        }
    }
    if (!command)
        command_print_help(stderr);
    return command;
}

int command_run(int argc, char **argv)
{
    char **settings CLEANUP_FREE = xcalloc((size_t)argc + 1, sizeof(*settings));
    struct request q = {.settings = settings};
    const struct command *command = parse(argc, argv, &q);

    return command ? command->fn(&q) : 2;
}
