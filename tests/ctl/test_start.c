/* The parts that starting a server is made of. */
#include "ctl/backoff.h"
#include "ctl/lock.h"
#include "ctl/spawn.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
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
