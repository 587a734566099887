/* What snapshotd reads of a segment, across every replacement of it. */
#include "snapshotd/tail.h"

#include "common/names.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

static struct store_key key;
static char dir[64];
static struct tail *tail;

static void setup(void)
{
    key = (struct store_key){.tenant = slice_str("default"), .room = slice_str("demo")};
    (void)snprintf(dir, sizeof(dir), "/tmp/concord-tail-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    tail = tail_new(dir, key, 0);
}

static void teardown(void)
{
    char *command CLEANUP_FREE = xasprintf("rm -rf '%s'", dir);

    tail_free(tail);
    cr_assert_eq(system(command), 0);
}

TestSuite(tail, .init = setup, .fini = teardown);

/* A segment under the room's name, in the place of the one that had it. */
static struct segment *put_segment(uint64_t base_seq, const char *checkpoint)
{
    char hash[NAME_HASH_HEX + 1];
    struct segment *s;

    name_hash(key.tenant, key.room, hash);
    char *path CLEANUP_FREE = xasprintf("%s/%s", dir, hash);
    char *next CLEANUP_FREE = xasprintf("%s.next", path);
    int fd = open(next, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    cr_assert_eq(segment_create(fd, key.tenant, key.room, base_seq, slice_str(checkpoint), &s), 0);
    cr_assert_eq(rename(next, path), 0);
    return s;
}

static void append(struct segment *s, uint64_t seq)
{
    char text[8];

    (void)snprintf(text, sizeof(text), "%d", (int)seq);
    struct segment_record r = {.seq = seq, .kind = SEGMENT_UPDATE_V1, .payload = slice_str(text)};
    cr_assert_eq(segment_append(s, &r, 1), 0);
}

static void supersede(struct segment *s)
{
    atomic_fetch_or(&segment_header(s)->flags, SEGMENT_SUPERSEDED);
    segment_free(s);
}

static void expect(uint64_t seq, const char *payload)
{
    struct segment_record r;

    cr_assert_eq(tail_next(tail, &r), 1);
    cr_expect_eq(r.seq, seq);
    cr_expect(slice_equal(r.payload, slice_str(payload)));
}

static void expect_nothing(void)
{
    struct segment_record r;

    cr_expect_eq(tail_next(tail, &r), 0);
}

Test(tail, waits_for_the_file)
{
    struct segment_record r;

    cr_expect_eq(tail_next(tail, &r), -ENOENT);
    struct segment *s = put_segment(0, "all");
    expect_nothing();
    append(s, 1);
    expect(1, "1");
    expect_nothing();
    segment_free(s);
}

/* As the room does it: both get the records until the next has the name. */
Test(tail, goes_on_in_the_next_one)
{
    struct segment *old = put_segment(0, "");

    append(old, 1);
    expect(1, "1");
    append(old, 2);
    struct segment *s = put_segment(2, "all up to 2");
    append(old, 3);
    append(s, 3);
    expect(2, "2");
    supersede(old);
    append(s, 4);
    expect(3, "3");
    expect(4, "4");
    expect_nothing();
    segment_free(s);
}

/* The end was seen before the mark was there. Nobody calls again for what the next one holds,
 * unless something more is appended: the call that finds the mark must go on. */
Test(tail, finds_a_mark_that_came_after_the_end)
{
    struct segment *old = put_segment(0, "");

    append(old, 1);
    expect(1, "1");
    expect_nothing();
    struct segment *s = put_segment(1, "all up to 1");
    supersede(old);
    append(s, 2);
    expect(2, "2");
    expect_nothing();
    segment_free(s);
}

Test(tail, takes_a_checkpoint_for_what_it_did_not_read)
{
    struct segment *a = put_segment(0, "");

    append(a, 1);
    expect(1, "1");
    append(a, 2);
    struct segment *b = put_segment(2, "all up to 2");
    supersede(a);
    append(b, 3);
    struct segment *c = put_segment(5, "all up to 5");
    supersede(b);
    append(c, 6);
    expect(2, "2"); /* the first is read to its end */
    expect(5, "all up to 5");
    expect(6, "6");
    expect_nothing();
    segment_free(c);
}

Test(tail, begins_behind_what_is_stored)
{
    struct segment *s = put_segment(4, "all up to 4");

    append(s, 5);
    append(s, 6);
    tail_free(tail);
    tail = tail_new(dir, key, 5);
    expect(6, "6");
    expect_nothing();
    segment_free(s);
}

/* A room that claims it of the file that has the name: no endless search, and nothing is given
 * twice.
 */
Test(tail, is_not_led_in_circles)
{
    struct segment *s = put_segment(0, "");

    append(s, 1);
    atomic_fetch_or(&segment_header(s)->flags, SEGMENT_SUPERSEDED);
    expect(1, "1");
    expect_nothing();
    append(s, 2);
    expect(2, "2");
    expect_nothing();
    segment_free(s);
}
