#include "common/quarantine.h"

#include "common/names.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define HASH  "00112233445566778899aabbccddeeff"
#define OTHER "ffeeddccbbaa99887766554433221100"

static char dir[] = "/tmp/concord-quarantine-XXXXXX";

static void make_dir(void)
{
    cr_assert_not_null(mkdtemp(dir));
}

static void remove_dir(void)
{
    char *command CLEANUP_FREE = xasprintf("rm -rf %s", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(quarantine, .init = make_dir, .fini = remove_dir);

static void write_marker(const char *text)
{
    char *path CLEANUP_FREE = xasprintf("%s/" HASH QUARANTINE_SUFFIX, dir);
    int fd CLEANUP_FD = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

Test(quarantine, a_marker_says_what_was_set)
{
    struct quarantine q = {
        .reason = QUARANTINE_CRASHES, .since_ms = 1700000000000, .crashes = 5, .last_signal = 11};
    struct quarantine found;

    quarantine_set_names(&q, slice_str("default"), slice_str("notes/ünï = 1"));
    quarantine_set_detail(&q, slice_str("record 7 = damaged"));
    cr_assert_not(quarantine_is_set(dir, HASH));
    cr_assert_eq(quarantine_read(dir, HASH, &found), -ENOENT);
    cr_assert_eq(quarantine_set(dir, HASH, &q), 0);
    cr_assert(quarantine_is_set(dir, HASH));
    cr_assert_not(quarantine_is_set(dir, OTHER));

    cr_assert_eq(quarantine_read(dir, HASH, &found), 0);
    cr_assert_eq(found.reason, QUARANTINE_CRASHES);
    cr_assert_eq(found.since_ms, q.since_ms);
    cr_assert_eq(found.crashes, 5);
    cr_assert_eq(found.last_signal, 11);
    cr_assert_str_eq(found.detail, "record 7 = damaged");
    cr_assert_str_eq(found.tenant, "default");
    cr_assert_str_eq(found.room, "notes/ünï = 1");

    cr_assert_eq(quarantine_clear(dir, HASH), 0);
    cr_assert_not(quarantine_is_set(dir, HASH));
    cr_assert_eq(quarantine_clear(dir, HASH), 0);
}

Test(quarantine, the_first_reason_stays)
{
    struct quarantine q = {.reason = QUARANTINE_DAMAGE, .since_ms = 1700000000000};
    struct quarantine found;

    cr_assert_eq(quarantine_set(dir, HASH, &q), 0);
    q.reason = QUARANTINE_CRASHES;
    cr_assert_eq(quarantine_set(dir, HASH, &q), 0);
    cr_assert_eq(quarantine_read(dir, HASH, &found), 0);
    cr_assert_eq(found.reason, QUARANTINE_DAMAGE);
}

/* A name is a client's: it forges no line, and the longest one fits. */
Test(quarantine, names_are_escaped)
{
    struct quarantine q = {.reason = QUARANTINE_CRASHES};
    struct quarantine found;
    char longest[NAME_MAX_BYTES + 1];

    memset(longest, '\n', NAME_MAX_BYTES);
    longest[NAME_MAX_BYTES] = '\0';
    quarantine_set_names(&q, slice_str("a%\x7f"), slice_str(longest));
    quarantine_set_detail(&q, slice_str(longest));
    cr_assert_eq(quarantine_set(dir, HASH, &q), 0);
    cr_assert_eq(quarantine_read(dir, HASH, &found), 0);
    cr_assert_str_eq(found.tenant, "a%25%7F");
    cr_assert_eq(strlen(found.room), 3 * NAME_MAX_BYTES);
    cr_assert_eq(strncmp(found.room, "%0A%0A", 6), 0);
}

Test(quarantine, any_marker_holds_the_room)
{
    static const char *const texts[] = {"",
                                        "\n\n",
                                        "reason",
                                        " = ",
                                        "reason = boredom\nsince = soon",
                                        "crashes = -7\nlast_signal = x\nroom"};
    struct quarantine found;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        write_marker(texts[i]);
        cr_assert(quarantine_is_set(dir, HASH));
        cr_assert_eq(quarantine_read(dir, HASH, &found), 0);
        cr_assert_eq(found.reason, QUARANTINE_UNKNOWN);
        cr_assert_eq(found.since_ms, 0);
        cr_assert_str_eq(found.room, "");
    }
}

Test(quarantine, what_cannot_be_told_counts_as_set)
{
    struct quarantine q = {.reason = QUARANTINE_CRASHES};
    char *no_dir CLEANUP_FREE = xasprintf("%s/file", dir);
    int fd CLEANUP_FD = open(no_dir, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    cr_assert(quarantine_is_set(no_dir, HASH));
    cr_assert_eq(quarantine_set(no_dir, HASH, &q), -ENOTDIR);
}
