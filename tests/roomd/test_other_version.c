/* What another release has left in the run directory. */
#include "supervisor_fixture.h"

#include "common/quarantine.h"
#include "crdt/crdt.h"
#include "proto/refusal.h"
#include "updates.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>

TestSuite(other_version, .timeout = 60);

static const uint32_t other_version = SEGMENT_VERSION - 1;

/* Leaves the room's segment with one edit, as a room of another version left it. */
static void leave_segment(struct fixture *f, uint32_t flags, uint64_t stored_seq)
{
    char *dir CLEANUP_FREE = config_rooms_dir(&f->config);
    const struct segment_record edit = {
        .seq = 1, .session = 1, .kind = SEGMENT_UPDATE_V1, .payload = CHAR_UPDATE(1, 'x')};
    char hash[NAME_HASH_HEX + 1];
    struct segment *s;

    hash_of_demo(hash);
    char *path CLEANUP_FREE = xasprintf("%s/%s", dir, hash);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    cr_assert_eq(
        segment_create(fd, slice_str("default"), slice_str("demo"), 0, slice_of("\0\0", 2), &s), 0);
    cr_assert_eq(segment_append(s, &edit, 1), 0);
    segment_header(s)->version = other_version;
    atomic_store(&segment_header(s)->stored_seq, stored_seq);
    atomic_store(&segment_header(s)->flags, flags);
    segment_free(s);
}

static void set_version(const struct fixture *f, uint32_t version)
{
    char *dir CLEANUP_FREE = config_rooms_dir(&f->config);
    char hash[NAME_HASH_HEX + 1];

    hash_of_demo(hash);
    char *path CLEANUP_FREE = xasprintf("%s/%s", dir, hash);
    int fd CLEANUP_FD = open(path, O_RDWR | O_CLOEXEC);
    cr_assert_eq(pwrite(fd, &version, sizeof(version), offsetof(struct segment_header, version)),
                 sizeof(version));
}

/* Neither at the start of a supervisor nor by a join; and that release finds all of it. */
Test(other_version, what_may_not_be_stored_is_kept)
{
    char hash[NAME_HASH_HEX + 1];
    struct fixture f;
    fixture_start(&f);
    char *dir CLEANUP_FREE = config_rooms_dir(&f.config);

    hash_of_demo(hash);
    leave_segment(&f, 0, 0); /* a room with nothing to store would close as soon as it is loaded */
    cr_expect_eq(fixture_refusal(&f), REFUSAL_OTHER_VERSION);
    fixture_end_supervisor(&f, SIGTERM);
    fixture_start_supervisor(&f);
    cr_expect_eq(fixture_refusal(&f), REFUSAL_OTHER_VERSION);
    cr_expect_not(quarantine_is_set(dir, hash), "the file alone says it");
    fixture_end_supervisor(&f, SIGTERM);

    set_version(&f, SEGMENT_VERSION);
    fixture_start_supervisor(&f);
    struct peer store = fixture_serve_store(&f, true);
    fixture_ask(&f, "demo");
    struct peer link = fixture_take_link(&f);
    SEND(&link, session_join, .session = 1, .format = CRDT_V1);
    SEND(&link, session_update, .session = 1, .op = 2, .format = CRDT_V1,
         .update = CHAR_UPDATE(1, 'x'));
    cr_expect_eq(EXPECT(&link, room_applied, ROOM_APPLIED).seq, 1);
    fixture_finish_demo(&f, &store, &link, SIGKILL);
}

Test(other_version, what_is_closed_and_not_stored_is_kept)
{
    struct fixture f;
    fixture_start(&f);

    leave_segment(&f, SEGMENT_CLOSED, 0);
    cr_expect_eq(fixture_refusal(&f), REFUSAL_OTHER_VERSION);
    fixture_end_supervisor(&f, SIGTERM);
    fixture_finish(&f);
}

Test(other_version, what_is_stored_gives_way)
{
    struct fixture f;
    fixture_start(&f);

    leave_segment(&f, SEGMENT_CLOSED, 1);
    fixture_ask(&f, "demo");
    struct peer store = fixture_serve_store(&f, false);
    struct peer link = fixture_take_link(&f);
    peer_close(&link);
    peer_expect_end(&store);
    fixture_expect_closed(&f);
    peer_close(&store);
    fixture_end_supervisor(&f, SIGTERM);

    leave_segment(&f, SEGMENT_CLOSED, 1);
    fixture_start_supervisor(&f); /* which looks at what was left */
    fixture_expect_closed(&f);
    fixture_end_supervisor(&f, SIGTERM);
    fixture_finish(&f);
}
