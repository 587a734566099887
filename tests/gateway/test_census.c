#include "gateway/census.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[] = "/tmp/concord-census-XXXXXX";

static void make_dir(void)
{
    cr_assert_not_null(mkdtemp(dir));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void remove_dir(void)
{
    (void)nftw(dir, remove_one, 4, FTW_DEPTH | FTW_PHYS);
}

TestSuite(census, .init = make_dir, .fini = remove_dir);

static struct census *open_one(void)
{
    struct census *c;

    cr_assert_eq(census_open(dir, &c), 0);
    return c;
}

Test(census, counts_what_the_others_have)
{
    struct census *a = open_one();
    struct census *b = open_one();
    struct census *c = open_one();
    uint64_t ada = census_key(1, slice_str("ada"));
    uint64_t bob = census_key(1, slice_str("bob"));

    cr_assert_neq(ada, bob);
    cr_assert_neq(ada, census_key(2, slice_str("ada")));
    census_set(a, ada, 3);
    census_set(b, ada, 4);
    census_set(b, bob, 1);
    cr_assert_eq(census_others(a, ada), 4, "its own is its own to know");
    cr_assert_eq(census_others(b, ada), 3);
    cr_assert_eq(census_others(c, ada), 7);
    cr_assert_eq(census_others(c, bob), 1);
    census_set(b, ada, 0);
    cr_assert_eq(census_others(c, ada), 3);
    census_set(b, ada, 2);
    cr_assert_eq(census_others(c, ada), 5);
    census_free(a);
    census_free(b);
    census_free(c);
}

static void wait_for_a_look(void)
{
    (void)usleep((CENSUS_LOOK_MS + 1) * 1000);
}

Test(census, the_dead_do_not_count)
{
    struct census *ours = open_one();
    uint64_t key = census_key(0, slice_str("x"));
    int ready[2], stay[2];
    char byte;

    cr_assert_eq(pipe(ready), 0);
    cr_assert_eq(pipe(stay), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct census *theirs = open_one();
        census_set(theirs, key, 5);
        (void)close(stay[1]);
        (void)!write(ready[1], "r", 1);
        (void)!read(stay[0], &byte, 1);
        _exit(0); /* without a word */
    }
    (void)close(stay[0]);
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    cr_assert_eq(census_others(ours, key), 5);
    (void)close(stay[1]);
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
    wait_for_a_look();
    cr_assert_eq(census_others(ours, key), 0);

    /* The next one takes the table over and has nothing. */
    struct census *next = open_one();
    wait_for_a_look();
    cr_assert_eq(census_others(ours, key), 0);
    census_set(next, key, 1);
    cr_assert_eq(census_others(ours, key), 1);
    census_free(next);
    census_free(ours);
}

Test(census, a_table_that_is_full_tells_no_more)
{
    enum { KEYS = 200000 };
    struct census *a = open_one();
    struct census *b = open_one();
    uint64_t seen = 0;

    for (uint64_t key = 0; key < KEYS; key++)
        census_set(a, key, 1);
    for (uint64_t key = 0; key < KEYS; key++)
        seen += census_others(b, key);
    cr_expect_eq(seen, 65536);
    for (uint64_t key = 0; key < KEYS; key++)
        census_set(a, key, 0);
    census_set(a, KEYS, 2);
    cr_expect_eq(census_others(b, KEYS), 2);
    census_free(a);
    census_free(b);
}

Test(census, what_cannot_be_opened_is_said)
{
    struct census *c;

    cr_assert_eq(census_open("/nowhere/at/all", &c), -ENOENT);
}
