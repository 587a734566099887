/* The parts that starting a server is made of. */
#include "ctl/address.h"
#include "ctl/backoff.h"
#include "ctl/lock.h"
#include "ctl/spawn.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>

Test(backoff, doubles_up_to_its_limit_and_starts_anew)
{
    static const uint64_t waits[] = {0, 100, 200, 400, 800, 1600, 3200, 5000, 5000};
    struct backoff b = {0};

    for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++)
        cr_assert_eq(backoff_next(&b, 29999), waits[i]);
    for (int i = 0; i < 100; i++)
        cr_assert_eq(backoff_next(&b, 0), 5000);
    cr_assert_eq(backoff_next(&b, 30000), 0);
    cr_assert_eq(backoff_next(&b, 0), 100);
}

Test(address, loopback_only)
{
    static const struct {
        const char *host;
        bool is_loopback;
    } cases[] = {
        {"127.0.0.1", true},        {"127.8.9.10", true}, {"::1", true},
        {"0.0.0.0", false},         {"::", false},        {"128.0.0.1", false},
        {"192.168.1.1", false},     {"fe80::1", false},   {"", false},
        {"localhost", false},       {"127.1", false},     {"127.0.0.1.example", false},
        {"::ffff:10.0.0.1", false},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cr_assert_eq(address_is_loopback(cases[i].host), cases[i].is_loopback, "%s", cases[i].host);
}

Test(address, urls)
{
    char *v4 CLEANUP_FREE = address_url("http", "127.0.0.1", 8080);
    char *v6 CLEANUP_FREE = address_url("ws", "::1", 1);

    cr_assert_str_eq(v4, "http://127.0.0.1:8080");
    cr_assert_str_eq(v6, "ws://[::1]:1");
}

Test(address, a_port_is_reserved_and_shared_with_gateways_only)
{
    int held CLEANUP_FD = -1;
    int again CLEANUP_FD = -1;
    uint32_t port = 0;
    uint32_t same = 0;
    int on = 1;

    cr_assert_eq(address_reserve("127.0.0.1", 0, &held, &port), 0);
    cr_assert_gt(port, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    /* A gateway. */
    int gateway CLEANUP_FD = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert_eq(setsockopt(gateway, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)), 0);
    cr_assert_eq(setsockopt(gateway, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
    cr_assert_eq(bind(gateway, (struct sockaddr *)&a, sizeof(a)), 0);
    cr_assert_eq(listen(gateway, 1), 0);
    /* Another server. */
    cr_assert_eq(address_reserve("127.0.0.1", port, &again, &same), -EADDRINUSE);
    cr_assert_eq(address_reserve("not an address", 0, &again, &same), -EINVAL);
}

static void make_dir(char *ret_path, size_t size)
{
    const char *tmp = getenv("TMPDIR");

    (void)snprintf(ret_path, size, "%s/concord-test-XXXXXX", tmp ? tmp : "/tmp");
    cr_assert_not_null(mkdtemp(ret_path));
}

static void remove_dir(const char *dir)
{
    char *lock CLEANUP_FREE = xasprintf("%s/lock", dir);

    (void)unlink(lock);
    (void)rmdir(dir);
}

Test(lock, one_server_to_a_directory)
{
    char dir[256];
    int first = -1;
    int second CLEANUP_FD = -1;
    pid_t owner = 0;

    make_dir(dir, sizeof(dir));
    cr_assert_eq(lock_take(dir, &first, &owner), 0);
    cr_assert_eq(lock_take(dir, &second, &owner), -EBUSY);
    cr_assert_eq(owner, getpid());
    (void)close(first);
    cr_assert_eq(lock_take(dir, &second, &owner), 0);
    remove_dir(dir);
    cr_assert_eq(lock_take(dir, &first, &owner), -ENOENT);
}

/* A child that holds the lock of a launcher which is already dead, and ends when it is waited for.
 */
static void leave_a_holder(const char *dir, int fds[2])
{
    char byte;
    int fd;
    pid_t owner;

    if (fork() == 0) {
        if (lock_take(dir, &fd, &owner) < 0)
            _exit(1);
        if (fork() == 0) {
            (void)close(fds[1]);
            while (read(fds[0], &byte, 1) > 0) /* until the test goes on */
                continue;
        }
        _exit(0);
    }
    (void)wait(NULL);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

Test(lock, waits_for_what_a_dead_launcher_left, .timeout = 30)
{
    char dir[256];
    int fds[2];
    int fd CLEANUP_FD = -1;
    pid_t owner;

    make_dir(dir, sizeof(dir));
    cr_assert_eq(pipe(fds), 0);
    leave_a_holder(dir, fds);
    cr_assert_eq(lock_take(dir, &fd, &owner), 0);
    remove_dir(dir);
}

Test(spawn, describes_an_end)
{
    int status;

    if (fork() == 0)
        _exit(3);
    (void)wait(&status);
    char *exited CLEANUP_FREE = spawn_describe_end(status);
    cr_assert_str_eq(exited, "exited with status 3");
    pid_t pid = fork();
    if (pid == 0) {
        for (;;)
            (void)pause();
    }
    (void)kill(pid, SIGKILL);
    (void)wait(&status);
    char *killed CLEANUP_FREE = spawn_describe_end(status);
    cr_assert_str_eq(killed, "was killed by signal 9 (Killed)");
}
