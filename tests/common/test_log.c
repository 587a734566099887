#include "common/log.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

/* What log_write() prints for `fmt` and one string. */
static void logged(const char *text, char *line, size_t cap)
{
    int fds[2];
    int saved = dup(STDERR_FILENO);

    cr_assert_eq(pipe(fds), 0);
    cr_assert_geq(dup2(fds[1], STDERR_FILENO), 0);
    log_info("name %s", text);
    cr_assert_geq(dup2(saved, STDERR_FILENO), 0);
    close(fds[1]);
    ssize_t n = read(fds[0], line, cap - 1);
    line[n > 0 ? n : 0] = '\0';
    close(fds[0]);
    close(saved);
}

Test(log, escapes_what_could_forge_a_line)
{
    char line[2000];

    log_init("test", LOG_LEVEL_INFO);
    logged("a\r\nb\x1b[31m \x7f \xc2\x9b \xc3\xa9", line, sizeof(line));
    cr_expect(strstr(line, "name a\\x0d\\x0ab\\x1b[31m \\x7f \\xc2\\x9b \xc3\xa9\n") != NULL, "%s",
              line);
    cr_expect_eq(strchr(line, '\n'), line + strlen(line) - 1);
}

Test(log, cuts_a_long_line)
{
    char text[5000];
    char line[6000];

    memset(text, '\n', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    logged(text, line, sizeof(line));
    cr_expect_leq(strlen(line), 1100);
    cr_expect_eq(line[strlen(line) - 1], '\n');
}

Test(log, knows_its_levels)
{
    enum log_level level;

    cr_expect_eq(log_level_parse("warn", &level), 0);
    cr_expect_eq(level, LOG_LEVEL_WARN);
    cr_expect_eq(log_level_parse("loud", &level), -EINVAL);
}
