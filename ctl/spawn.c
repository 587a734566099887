#include "ctl/spawn.h"

#include "common/config.h"
#include "common/log.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

char *spawn_find(const char *name)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

    if (n <= 0)
        return NULL;
    self[n] = '\0';
    const char *dir = dirname(self);
    char *places[] = {
        xasprintf("%s/concord-%s", dir, name),
        xasprintf("%s/../%s/concord-%s", dir, name, name),
    };
    char *found = NULL;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (!found && access(places[i], X_OK) == 0)
            found = places[i];
        else
            free(places[i]);
    }
    return found;
}

/* The store and its password are for the process that has it. */
static int set_store(const char *store)
{
    if (store)
        return setenv(CONFIG_STORE_ENV, store, 1);
    (void)unsetenv("PGPASSWORD");
    return unsetenv(CONFIG_STORE_ENV);
}

/* In the child, which is only this thread. Never returns. */
static void execute(const struct spawn *spawn, pid_t parent)
{
    sigset_t none;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    (void)setpgid(0, 0);
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent)
        _exit(SPAWN_FAILED); /* we died before the child could be told to notice */
    (void)signal(SIGPIPE, SIG_DFL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    for (size_t i = 0; i < spawn->keep_count; i++)
        (void)fcntl(spawn->keep_fds[i], F_SETFD, 0);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0 ||
        setenv("NOTIFY_SOCKET", spawn->notify_socket, 1) < 0 || set_store(spawn->store) < 0)
        _exit(SPAWN_FAILED);
    (void)execv(spawn->path, spawn->argv);
    log_error("%s cannot be executed: %s", spawn->path, strerror(errno));
    _exit(SPAWN_FAILED);
}

pid_t spawn_start(const struct spawn *spawn)
{
    pid_t parent = getpid();
    pid_t pid = fork();

    if (pid < 0)
        return -errno;
    if (pid == 0)
        execute(spawn, parent);
    (void)setpgid(pid, pid); /* whoever is first: a signal must not find it in our group */
    return pid;
}

char *spawn_describe_end(int wait_status)
{
    if (WIFSIGNALED(wait_status))
        return xasprintf("was killed by signal %d (%s)", WTERMSIG(wait_status),
                         strsignal(WTERMSIG(wait_status)));
    return xasprintf("exited with status %d", WEXITSTATUS(wait_status));
}
