/* The supervisor's part in replacing a segment; the test plays a room that may be anybody. */
#include "common/metrics.h"
#include "common/segment.h"
#include "peer.h"
#include "roomd/supervisor_internal.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static struct supervisor supervisor;
static struct slot slot;
static struct peer room;
static char dir[64];

static char *path_of(const char *suffix)
{
    return xasprintf("%s/%s%s", dir, slot.hash, suffix);
}

static void setup(void)
{
    int fds[2];

    (void)snprintf(dir, sizeof(dir), "/tmp/concord-next-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    supervisor = (struct supervisor){.loop = loop_new(), .rooms_dir = dir};
    slot = (struct slot){.supervisor = &supervisor,
                         .tenant = blob_copy(slice_str("default")),
                         .room = blob_copy(slice_str("demo"))};
    name_hash(blob_slice(slot.tenant), blob_slice(slot.room), slot.hash);
    cr_assert_eq(ipc_pair(fds), 0);
    static const struct ipc_handler deaf;
    slot.control = ipc_new(supervisor.loop, fds[0], &deaf, NULL);
    room = peer_new(fds[1]);
}

static void teardown(void)
{
    char *command CLEANUP_FREE = xasprintf("rm -rf '%s'", dir);

    ipc_close(slot.control);
    peer_close(&room);
    blob_unref(slot.tenant);
    blob_unref(slot.room);
    loop_free(supervisor.loop);
    cr_assert_eq(system(command), 0);
}

TestSuite(next_file, .init = setup, .fini = teardown);

/* A segment under the room's name, or what is to become it. Returns its file's number. */
static ino_t make_segment(const char *suffix, const char *name)
{
    char *path CLEANUP_FREE = path_of(suffix);
    struct segment *s;
    struct stat st;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    cr_assert_geq(fd, 0);
    cr_assert_eq(fstat(fd, &st), 0);
    cr_assert_eq(
        segment_create(fd, slice_str("default"), slice_str(name), 0, slice_of("\0\0", 2), &s), 0);
    segment_free(s);
    return st.st_ino;
}

static ino_t named(void)
{
    char *path CLEANUP_FREE = path_of("");
    struct stat st;

    cr_assert_eq(stat(path, &st), 0);
    return st.st_ino;
}

/* Asks, and returns the file, or -1. */
static int replace(void)
{
    cr_assert_eq(next_file_handle_replace(&slot, &(struct msg_room_replace){}), 0);
    return EXPECT(&room, room_next, ROOM_NEXT).has_file ? peer_take_fd(&room) : -1;
}

static bool rename_is_done(void)
{
    cr_assert_eq(next_file_handle_rename(&slot, &(struct msg_room_rename){}), 0);
    return EXPECT(&room, room_renamed, ROOM_RENAMED).is_done;
}

Test(next_file, is_new_empty_and_locked)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char *path CLEANUP_FREE = path_of(NEXT_FILE_SUFFIX);
    struct stat st, by_name;

    for (int i = 0; i < 2; i++) { /* the second time there is one */
        int fd CLEANUP_FD = replace();
        int other CLEANUP_FD = open(path, O_RDWR | O_CLOEXEC);
        cr_assert_geq(fd, 0);
        cr_assert_eq(fstat(fd, &st), 0);
        cr_assert_eq(fstat(other, &by_name), 0);
        cr_expect_eq(st.st_ino, by_name.st_ino);
        cr_expect_eq(st.st_size, 0);
        cr_expect_eq(st.st_mode & 0777, 0600);
        cr_expect_eq(fcntl(other, F_OFD_SETLK, &lock), -1, "the supervisor's lock is the room's");
        cr_assert_eq(write(fd, "x", 1), 1);
    }
    next_file_remove(&slot);
    cr_expect_eq(access(path, F_OK), -1);
    next_file_remove(&slot); /* none is fine */
}

/* Whatever lies there is not written through. */
Test(next_file, follows_no_link)
{
    char *path CLEANUP_FREE = path_of(NEXT_FILE_SUFFIX);
    char *victim CLEANUP_FREE = path_of(".victim");
    struct stat st;
    int made CLEANUP_FD = open(victim, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    cr_assert_eq(symlink(victim, path), 0);
    int fd CLEANUP_FD = replace();
    cr_assert_eq(write(fd, "x", 1), 1);
    cr_assert_eq(fstat(made, &st), 0);
    cr_expect_eq(st.st_size, 0);
}

Test(next_file, gets_the_room_s_name)
{
    ino_t old = make_segment("", "demo");

    (void)close(replace());
    ino_t next = make_segment(NEXT_FILE_SUFFIX, "demo");
    cr_assert_neq(old, next);
    cr_expect(rename_is_done());
    cr_expect_eq(named(), next);
    cr_expect(!rename_is_done(), "there is no next one any more");
    cr_expect_eq(named(), next);
}

/* A room that was taken over can spoil what is its own, and not even that by a name. */
Test(next_file, only_a_whole_segment_of_the_room_gets_its_name)
{
    ino_t old = make_segment("", "demo");
    char *path CLEANUP_FREE = path_of(NEXT_FILE_SUFFIX);
    char *other CLEANUP_FREE = path_of(".other");

    cr_expect(!rename_is_done(), "there is none");
    (void)close(replace());
    cr_expect(!rename_is_done(), "it is empty");
    (void)make_segment(NEXT_FILE_SUFFIX, "another");
    cr_expect(!rename_is_done(), "it is another room's");
    (void)make_segment(".other", "demo");
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(symlink(other, path), 0);
    cr_expect(!rename_is_done(), "it is a link");
    cr_expect_eq(named(), old);
}

Test(next_file, no_file_is_said)
{
    supervisor.rooms_dir = (char[]){"/nowhere"};
    cr_expect_eq(replace(), -1);
}

static void assert_counted(const char *metrics_dir, const char *name, unsigned count)
{
    struct buffer out = {0};
    char *line CLEANUP_FREE =
        xasprintf("concord_segment_%s_total{process=\"roomd-0\"} %u\n", name, count);

    metrics_print(metrics_dir, 0, &out);
    buffer_append(&out, "", 1);
    cr_assert(strstr((const char *)out.data, line), "%s", line);
    buffer_done(&out);
}

Test(next_file, every_end_is_counted)
{
    char *metrics_dir CLEANUP_FREE = path_of(".metrics");

    cr_assert_eq(metrics_open(metrics_dir, "roomd"), 0);
    (void)close(replace());
    assert_counted(metrics_dir, "replacement_failures", 0);
    cr_expect(!rename_is_done(), "it is empty");
    assert_counted(metrics_dir, "replacement_failures", 1);
    cr_assert_eq(next_file_handle_failed(&slot, &(struct msg_room_replace_failed){}), 0);
    assert_counted(metrics_dir, "replacement_failures", 2);
    (void)make_segment(NEXT_FILE_SUFFIX, "demo");
    assert_counted(metrics_dir, "replacements", 0);
    cr_expect(rename_is_done());
    assert_counted(metrics_dir, "replacements", 1);
    supervisor.rooms_dir = (char[]){"/nowhere"};
    cr_expect_eq(replace(), -1);
    assert_counted(metrics_dir, "replacement_failures", 3);
    metrics_leave();
}

/* It asks on and on and reads nothing: it gets no more descriptors, and then it is killed. */
Test(next_file, a_room_that_does_not_read_is_not_served_for_ever)
{
    int r = 0;
    int n;

    for (n = 0; n < 1000000 && r == 0; n++)
        r = n % 2 ? next_file_handle_replace(&slot, &(struct msg_room_replace){})
                  : next_file_handle_rename(&slot, &(struct msg_room_rename){});
    cr_expect_eq(r, -EBADMSG);
    cr_expect_gt(n, 10);
}
