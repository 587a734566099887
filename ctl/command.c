#include "ctl/command.h"

#include "common/buffer.h"
#include "common/loop.h"
#include "ctl/arguments.h"
#include "ctl/doc.h"
#include "ctl/doctor.h"
#include "ctl/room_list.h"
#include "ctl/server.h"
#include "ctl/token.h"

#include <errno.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

/* `before`: the settings in front of the command's name; `argv`: what is behind it. */
typedef int (*command_fn)(struct arguments *before, int argc, char **argv);

static int run_rooms(struct arguments *before, int argc, char **argv);
static int run_doc(struct arguments *before, int argc, char **argv);
static int run_token(struct arguments *before, int argc, char **argv);
static int run_help(struct arguments *before, int argc, char **argv);
static int run_version(struct arguments *before, int argc, char **argv);

static const struct command {
    const char *name;
    const char *arguments;
    const char *help;
    command_fn fn;
} commands[] = {
    {"rooms", "[--json]", "lists the open rooms and those in quarantine", run_rooms},
    {"doc", "COMMAND FILE…", "reads, merges and converts files of updates", run_doc},
    {"doctor", "[ROOM] [options]", "examines rooms and the store, repairs", doctor_run},
    {"token", "--keys FILE --sub USER --room …", "makes tokens, and the keys for them", run_token},
    {"help", "", "prints this", run_help},
    {"version", "", "prints the version", run_version},
};

/* ---- commands ---- */

struct rooms_request {
    bool is_json;
};

static const struct option rooms_options[] = {
    {"--json", NULL, NULL, offsetof(struct rooms_request, is_json), 1, "print JSON"},
};

static const struct option_table rooms_table = {
    .options = rooms_options, .count = ARRAY_LEN(rooms_options), .takes_settings = true};

static int print_rooms(const char *dir, bool is_json)
{
    struct room_list list;
    struct buffer out = {0};
    int r = room_list_read(&list, dir);

    if (r < 0) {
        (void)fprintf(stderr, "concordctl: %s: %s; does the server run?\n", dir, strerror(-r));
        return 1;
    }
    if (is_json)
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

static int run_rooms(struct arguments *a, int argc, char **argv)
{
    struct rooms_request q = {0};
    struct config config;

    if (arguments_parse(a, &rooms_table, 1, &q, argc, argv) < 0)
        return 2;
    if (a->wants_help)
        return run_help(a, 0, NULL);
    if (a->name_count > 0) {
        (void)fprintf(stderr, "concordctl: there is no argument '%s'\n", a->names[0]);
        return 2;
    }
    if (server_find(a->settings, a->setting_count, &config) < 0)
        return 1;
    char *dir CLEANUP_FREE = config_rooms_dir(&config);
    config_done(&config);
    return print_rooms(dir, q.is_json);
}

/* For those that are about no server. */
static bool has_settings(const struct arguments *before, const char *command)
{
    if (before->setting_count > 0)
        (void)fprintf(stderr, "concordctl: %s takes no setting '%s'\n", command,
                      before->settings[0]);
    return before->setting_count > 0;
}

static int run_doc(struct arguments *before, int argc, char **argv)
{
    return has_settings(before, "doc") ? 2 : doc_run(argc, argv);
}

static int run_token(struct arguments *before, int argc, char **argv)
{
    return has_settings(before, "token") ? 2 : token_run(argc, argv);
}

static int run_help(struct arguments *before, int argc, char **argv)
{
    (void)before;
    if (argc > 0 && strcmp(argv[0], "doc") == 0)
        doc_print_help(stdout);
    else if (argc > 0 && strcmp(argv[0], "doctor") == 0)
        doctor_print_help(stdout);
    else if (argc > 0 && strcmp(argv[0], "token") == 0)
        token_print_help(stdout);
    else
        command_print_help(stdout);
    return 0;
}

static int run_version(struct arguments *before, int argc, char **argv)
{
    (void)before;
    (void)argc;
    (void)argv;
    (void)puts("concordctl " CONCORD_VERSION);
    return 0;
}

void command_print_help(FILE *out)
{
    (void)fprintf(out, "usage: concordctl [settings] COMMAND [options]\n\n");
    for (size_t i = 0; i < ARRAY_LEN(commands); i++)
        (void)fprintf(out, "  %-8s %-36s %s\n", commands[i].name, commands[i].arguments,
                      commands[i].help);
    (void)fprintf(out, "\n`concordctl doc --help` tells more about a command.\n\n"
                       "Settings are those that the server was started with. --data or --run says "
                       "which server is\nmeant; most others are accepted and change nothing.\n");
}

/* ---- the command's name ---- */

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

int command_run(int argc, char **argv)
{
    static const struct option_table settings_only = {.takes_settings = true};
    const struct command *command = NULL;
    struct arguments before = {0};
    int status = 2;
    int i = 0;

    while (i < argc && !(command = find_command(argv[i])) && is_option(argv[i]))
        i += strchr(argv[i], '=') ? 1 : 2;
    if (command && arguments_parse(&before, &settings_only, 0, NULL, i, argv) == 0)
        status = command->fn(&before, argc - i - 1, argv + i + 1);
    else if (i < argc)
        (void)fprintf(stderr, "concordctl: there is no command '%s'\n", argv[i]);
    else
        command_print_help(stderr);
    arguments_done(&before);
    return status;
}
