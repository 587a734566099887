#include "common/config.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

static char dir[] = "/tmp/concord-config-XXXXXX";

static void make_dir(void)
{
    cr_assert_not_null(mkdtemp(dir));
    unsetenv("RUNTIME_DIRECTORY");
}

static void remove_dir(void)
{
    char *command CLEANUP_FREE = xasprintf("rm -rf %s", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(config, .init = make_dir, .fini = remove_dir);

static int parse(struct config *c, int argc, char **argv)
{
    int rest = 0;
    int r = config_parse(c, argc, argv, &rest);
    return r < 0 ? r : rest;
}

Test(config, command_line_wins_over_the_file)
{
    struct config c;
    char *path CLEANUP_FREE = xasprintf("%s/concord.ini", dir);
    FILE *f = fopen(path, "w");
    fputs("[network]\nport = 1234\nhost = ::1\nsnapshot_updates = 7\n", f);
    fclose(f);
    char *argv[] = {"--port=99", "--data", dir, "--config", path, "--room-idle-ms=5", "more"};

    cr_assert_eq(parse(&c, 7, argv), 6);
    cr_expect_eq(c.port, 99);
    cr_expect_str_eq(c.host, "::1");
    cr_expect_eq(c.snapshot_updates, 7);
    cr_expect_eq(c.room_idle_ms, 5);
    config_done(&c);
}

Test(config, refuses_what_it_does_not_know)
{
    static const char *const bad[] = {
        "--nonsense=1",
        "--port=65536",
        "--port=-1",
        "--port=1x",
        "--port=",
        "--port=+1",
        "--host=",
        "--log-level=loud",
        "--room_idle=1",
        "--config=/nonexistent",
        "--ack=disk",
        "--ack=",
        "--origin-required=yes",
        "--origin-required=",
        "--compression=yes",
        "--compression=",
        "--proxy-protocol=yes",
        "--trusted-proxies=localhost",
        "--tls-cert=cert.pem",
        "--tls-key=key.pem",
        "--proxy-protocol=on",
    };
    struct config c;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char *arg CLEANUP_FREE = xstrdup(bad[i]);
        char *argv[] = {arg};
        cr_expect_eq(parse(&c, 1, argv), -EINVAL, "%s", bad[i]);
    }
    char *no_value[] = {"--port"};
    cr_expect_eq(parse(&c, 1, no_value), -EINVAL);
}

Test(config, argv_carries_it_over)
{
    struct config a;
    struct config b;
    char *argv[] = {"--data",
                    dir,
                    "--message-bytes",
                    "2048",
                    "--log-level",
                    "debug",
                    "--ack",
                    "drafts/*=room, stored",
                    "--origins=https://a.example,http://b",
                    "--origin-required=on",
                    "--keys=/etc/keys.json",
                    "--compression=on",
                    "--proxy-protocol",
                    "on",
                    "--trusted-proxies",
                    "10.0.0.0/8, ::1",
                    "--tls-cert",
                    "c.pem",
                    "--tls-key",
                    "k.pem"};
    int count = 0;

    cr_assert_eq(parse(&a, 20, argv), 20);
    cr_expect(a.origin_required);
    cr_expect(a.compression);
    char **tail = config_to_argv(&a);
    while (tail[count])
        count++;
    cr_assert_eq(parse(&b, count, tail), count);
    cr_expect_eq(b.message_bytes, 2048);
    cr_expect_eq(b.log_level, LOG_LEVEL_DEBUG);
    cr_expect(b.compression);
    cr_expect_str_eq(b.run, a.run);
    cr_expect_str_eq(b.ack, "drafts/*=room, stored");
    cr_expect_str_eq(b.origins, "https://a.example,http://b");
    cr_expect_str_eq(b.keys, "/etc/keys.json");
    cr_expect(b.origin_required);
    cr_expect(b.proxy_protocol);
    cr_expect_str_eq(b.trusted_proxies, "10.0.0.0/8, ::1");
    cr_expect_str_eq(b.tls_key, "k.pem");
    for (int i = 0; i < count; i++)
        free(tail[i]);
    free(tail);
    config_done(&a);
    config_done(&b);
}

Test(config, run_directory_is_private)
{
    struct config c;
    char *run CLEANUP_FREE = xasprintf("%s/run", dir);
    char *argv[] = {"--data", dir, "--run", run};
    struct stat st;

    cr_assert_eq(parse(&c, 4, argv), 4);
    cr_assert_eq(mkdir(run, 0777), 0);
    cr_expect_eq(config_make_run(&c), 0);
    cr_assert_eq(stat(run, &st), 0);
    cr_expect_eq(st.st_mode & 0777, 0700);
    char *rooms CLEANUP_FREE = config_rooms_dir(&c);
    cr_assert_eq(stat(rooms, &st), 0);
    cr_assert_eq(rmdir(rooms), 0);
    cr_assert_eq(symlink("/tmp", rooms), 0);
    cr_expect_eq(config_make_run(&c), -EPERM);
    config_done(&c);
}

Test(config, same_data_gives_the_same_run_directory)
{
    struct config a;
    struct config b;
    char *one[] = {"--data", dir};
    char *dotted CLEANUP_FREE = xasprintf("%s/.", dir);
    char *two[] = {"--data", dotted};

    cr_assert_eq(parse(&a, 2, one), 2);
    cr_assert_eq(parse(&b, 2, two), 2);
    cr_expect_str_eq(a.run, b.run);
    config_done(&a);
    config_done(&b);
}

/* The sample file names every setting, and nothing else: both are read by operators. */
Test(config, the_sample_file_is_complete)
{
    struct config c;
    char *path = getenv("CONCORD_SAMPLE_CONFIG");
    char text[16384];
    char line[128];

    cr_assert_not_null(path);
    FILE *f = fopen(path, "r");
    cr_assert_not_null(f);
    text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
    fclose(f);
    char *argv[] = {"--config", path};
    cr_assert_eq(parse(&c, 2, argv), 2);
    char **tail = config_to_argv(&c);
    for (int i = 0; tail[i]; i++) {
        (void)snprintf(line, sizeof(line), "\n%.*s =", (int)strcspn(tail[i] + 2, "="), tail[i] + 2);
        cr_expect_not_null(strstr(text, line), "%s", line);
        free(tail[i]);
    }
    free(tail);
    config_done(&c);
}
