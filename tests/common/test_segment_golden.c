/*
 * The format of segments, pinned: golden/ holds one of each kind. The writer makes them again byte
 * for byte, and the reader finds in them what proto/segment.md says. A change of the format is a
 * new version and new files, which this program writes if CONCORD_WRITE_GOLDEN is set.
 */
#include "common/segment.h"

#include "boot.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>

#define FILE_MAX 8192

static const struct boot_id boot = {
    {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee,
     0xff},
};

static const struct segment_start start = {
    .tenant = {(const uint8_t *)"default", 7},
    .room = {(const uint8_t *)"golden", 6},
    .file_id = UINT64_C(0x0123456789abcdef),
    .lineage = UINT64_C(0xfedcba9876543210),
    .boot_id = &boot,
    .base_seq = 41,
    .checkpoint = {(const uint8_t *)"\0\0", 2},
};

/* ---- the files, as the writer makes them ---- */

static void append(struct segment *s, uint64_t seq, uint64_t session, const char *text)
{
    struct segment_record r = {
        .seq = seq, .session = session, .kind = SEGMENT_UPDATE_V1, .payload = slice_str(text)};

    cr_assert_eq(segment_append(s, &r, 1), 0);
}

/* Two records; the second fills its place up to the byte. */
static struct segment *make_plain(int fd)
{
    struct segment *s;

    cr_assert_eq(segment_start(dup(fd), &start, &s), 0);
    append(s, 42, UINT64_C(0x0000002a00000007), "first");
    append(s, 44, 0, "second16second16");
    return s;
}

static uint64_t end_of(struct segment *s)
{
    return atomic_load(&segment_header(s)->committed);
}

static uint64_t make_closed(int fd)
{
    struct segment *s = make_plain(fd);
    struct segment_header *h = segment_header(s);
    uint64_t end = end_of(s);

    atomic_store(&h->stored_seq, 44);
    atomic_fetch_or(&h->flags, SEGMENT_CLOSED);
    segment_free(s);
    return end;
}

static uint64_t make_superseded(int fd)
{
    struct segment *s = make_plain(fd);
    uint64_t end = end_of(s);

    atomic_fetch_or(&segment_header(s)->flags, SEGMENT_SUPERSEDED);
    segment_free(s);
    return end;
}

static uint64_t make_open(int fd)
{
    struct segment *s = make_plain(fd);
    struct segment_header *h = segment_header(s);
    uint64_t end = end_of(s);

    atomic_store(&h->stored_seq, 42);
    atomic_store(&h->updates, 2);
    atomic_store(&h->structs, 3);
    atomic_store(&h->pending_bytes, 4);
    atomic_store(&h->last_activity_ms, UINT64_C(1700000000123));
    atomic_store(&h->started_ms, UINT64_C(1700000000000));
    atomic_store(&h->pid, 12345);
    atomic_store(&h->clients, 6);
    segment_free(s);
    return end;
}

/* A record that was written and not published. */
static uint64_t make_unpublished(int fd)
{
    struct segment *s = make_plain(fd);
    uint64_t end = end_of(s);
    struct segment_record r = {
        .seq = 45, .session = 9, .kind = SEGMENT_UPDATE_V1, .payload = slice_str("third")};

    cr_assert_eq(segment_write(s, &r, 1), 0);
    segment_free(s);
    return end + segment_record_bytes(r.payload.len);
}

/* The same, with a byte of it that never arrived. */
static uint64_t make_torn_tail(int fd)
{
    uint64_t end = make_unpublished(fd);

    cr_assert_eq(pwrite(fd, "\0", 1, (off_t)end - 8), 1);
    return end;
}

/* The second record has another byte than was written. */
static uint64_t make_damaged(int fd)
{
    struct segment *s = make_plain(fd);
    uint64_t end = end_of(s);

    segment_free(s);
    cr_assert_eq(pwrite(fd, "?", 1, (off_t)end - 1), 1);
    return end;
}

static uint64_t make_damaged_checkpoint(int fd)
{
    uint64_t end = make_closed(fd);

    cr_assert_eq(pwrite(fd, "?", 1, SEGMENT_HEADER_BYTES), 1);
    return end;
}

static uint64_t make_damaged_header(int fd)
{
    uint64_t end = make_closed(fd);

    cr_assert_eq(pwrite(fd, "?", 1, offsetof(struct segment_header, room)), 1);
    return end;
}

/* ---- what is in them ---- */

static const struct golden {
    const char *name;
    uint64_t (*make)(int fd); /* returns how much of the file counts */
    int result;               /* of segment_recover() in the same boot */
    int later_result;         /* in another */
    uint64_t records;
    uint64_t end;
    uint64_t last_seq;
    bool has_torn_tail;
    bool has_unpublished;
    uint32_t flags;
} goldens[] = {
    {"open", make_open, 0, 0, 2, 4192, 44, false, false, 0},
    {"closed", make_closed, 0, 0, 2, 4192, 44, false, false, SEGMENT_CLOSED},
    {"superseded", make_superseded, 0, 0, 2, 4192, 44, false, false, SEGMENT_SUPERSEDED},
    {"unpublished", make_unpublished, 0, 0, 2, 4192, 44, true, true, 0},
    {"torn-tail", make_torn_tail, 0, 0, 2, 4192, 44, true, false, 0},
    {"damaged", make_damaged, -EBADMSG, 0, 1, 4144, 42, false, false, 0},
    {"damaged-checkpoint", make_damaged_checkpoint, -EBADMSG, -ENODATA, 0, 4096, 41, false, false,
     SEGMENT_CLOSED},
    {"damaged-header", make_damaged_header, -EBADMSG, -ENODATA, 0, 0, 0, false, false, 0},
};

static char *path_of(const struct golden *g)
{
    const char *folder = getenv("CONCORD_GOLDEN");

    cr_assert_not_null(folder, "CONCORD_GOLDEN names the folder of the files");
    return xasprintf("%s/%s.segment", folder, g->name);
}

static size_t make(const struct golden *g, uint8_t bytes[FILE_MAX])
{
    int fd = memfd_create("segment", MFD_CLOEXEC);
    size_t len = (size_t)g->make(fd);

    cr_assert_leq(len, FILE_MAX);
    cr_assert_eq(pread(fd, bytes, len, 0), (ssize_t)len);
    (void)close(fd);
    return len;
}

static void write_file(const struct golden *g)
{
    char *path CLEANUP_FREE = path_of(g);
    int fd CLEANUP_FD = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    uint8_t bytes[FILE_MAX];
    size_t len = make(g, bytes);

    cr_assert_eq(write(fd, bytes, len), (ssize_t)len);
}

static size_t read_file(const struct golden *g, uint8_t bytes[FILE_MAX])
{
    char *path CLEANUP_FREE = path_of(g);
    int fd CLEANUP_FD = open(path, O_RDONLY | O_CLOEXEC);

    cr_assert_geq(fd, 0, "%s: %s", path, strerror(errno));
    ssize_t len = read(fd, bytes, FILE_MAX);
    cr_assert_geq(len, 0);
    return (size_t)len;
}

/* The golden file where a writer can open it. */
static int load(const struct golden *g)
{
    uint8_t bytes[FILE_MAX];
    size_t len = read_file(g, bytes);
    int fd = memfd_create("segment", MFD_CLOEXEC);

    cr_assert_eq(write(fd, bytes, len), (ssize_t)len);
    return fd;
}

#define EACH_GOLDEN(g)                                                                             \
    const struct golden *g = goldens;                                                              \
    g < goldens + sizeof(goldens) / sizeof(*g);                                                    \
    g++

Test(segment_golden, the_writer_makes_them_again)
{
    uint8_t made[FILE_MAX];
    uint8_t kept[FILE_MAX];

    for (EACH_GOLDEN(g)) {
        if (getenv("CONCORD_WRITE_GOLDEN"))
            write_file(g);
        size_t len = make(g, made);
        cr_expect_eq(read_file(g, kept), len, "%s", g->name);
        cr_expect_eq(memcmp(made, kept, len), 0, "%s", g->name);
    }
}

Test(segment_golden, readers_find_what_is_in_them)
{
    struct segment_view *v;
    struct segment_record r;
    struct slice checkpoint;
    uint64_t offset = 0;
    int fd = load(&goldens[0]);

    cr_assert_eq(segment_view_open(fd, &v), 0);
    const struct segment_header *h = segment_view_header(v);
    cr_expect(slice_equal(slice_of(h->tenant, h->tenant_len), start.tenant));
    cr_expect(slice_equal(slice_of(h->room, h->room_len), start.room));
    cr_expect_eq(memcmp(&h->boot_id, &boot, sizeof(boot)), 0);
    cr_expect_eq(h->file_id, start.file_id);
    cr_expect_eq(h->lineage, start.lineage);
    cr_expect_eq(h->base_seq, 41);
    cr_expect_eq(h->stored_seq, 42);
    cr_expect_eq(h->updates, 2);
    cr_expect_eq(h->structs, 3);
    cr_expect_eq(h->pending_bytes, 4);
    cr_expect_eq(h->last_activity_ms, UINT64_C(1700000000123));
    cr_expect_eq(h->started_ms, UINT64_C(1700000000000));
    cr_expect_eq(h->pid, 12345);
    cr_expect_eq(h->clients, 6);
    cr_assert_eq(segment_view_checkpoint(v, &checkpoint), 0);
    cr_expect(slice_equal(checkpoint, start.checkpoint));
    cr_assert_eq(segment_view_next(v, &offset, &r), 1);
    cr_expect_eq(r.seq, 42);
    cr_expect_eq(r.session, UINT64_C(0x0000002a00000007));
    cr_expect_eq(r.kind, SEGMENT_UPDATE_V1);
    cr_expect(slice_equal(r.payload, slice_str("first")));
    cr_assert_eq(segment_view_next(v, &offset, &r), 1);
    cr_expect_eq(r.seq, 44);
    cr_expect(slice_equal(r.payload, slice_str("second16second16")));
    cr_expect_eq(segment_view_next(v, &offset, &r), 0);
    cr_expect_eq(offset, 4192);
    segment_view_free(v);
}

Test(segment_golden, flags_and_what_is_unpublished_are_found)
{
    struct segment_view *v;
    struct segment_record r;

    boot_pretend(&boot);
    for (EACH_GOLDEN(g)) {
        int fd = load(g);
        if (g->end == 0) {
            cr_expect_eq(segment_view_open(fd, &v), -EBADMSG, "%s", g->name);
            (void)close(fd);
            continue;
        }
        cr_assert_eq(segment_view_open(fd, &v), 0, "%s", g->name);
        cr_expect_eq(segment_view_header(v)->flags, g->flags, "%s", g->name);
        cr_expect_eq(segment_view_unpublished(v, &r), g->has_unpublished, "%s", g->name);
        if (g->has_unpublished)
            cr_expect(slice_equal(r.payload, slice_str("third")));
        segment_view_free(v);
    }
}

Test(segment_golden, recovery_takes_what_is_sound)
{
    boot_pretend(&boot);
    for (EACH_GOLDEN(g)) {
        struct segment_contents found = {0};
        struct segment *s;
        int fd = load(g);
        int r = segment_recover(fd, NULL, NULL, &s, &found);
        cr_expect_eq(r, g->result, "%s: %d", g->name, r);
        cr_expect_eq(found.records, g->records, "%s", g->name);
        cr_expect_eq(found.end, g->end, "%s: %lu", g->name, (unsigned long)found.end);
        cr_expect_eq(found.last_seq, g->last_seq, "%s", g->name);
        cr_expect_eq(found.has_torn_tail, g->has_torn_tail, "%s", g->name);
        if (r < 0) {
            (void)close(fd);
            continue;
        }
        cr_expect_eq(segment_header(s)->flags, 0, "%s", g->name);
        segment_free(s);
    }
}

/* The machine went down: nothing is damage, and nothing is believed. */
Test(segment_golden, recovery_in_another_boot_takes_what_is_sound_as_a_new_lineage)
{
    for (EACH_GOLDEN(g)) {
        struct segment_contents found = {0};
        struct segment *s;
        int fd = load(g);
        int r = segment_recover(fd, NULL, NULL, &s, &found);
        cr_expect_eq(r, g->later_result, "%s: %d", g->name, r);
        cr_expect_eq(found.records, g->records, "%s", g->name);
        cr_expect_eq(found.is_cut, g->result < 0 && r == 0, "%s", g->name);
        cr_expect_eq(found.is_of_other_boot, found.end > 0, "%s", g->name);
        if (r < 0) {
            (void)close(fd);
            continue;
        }
        const struct segment_header *h = segment_header(s);
        cr_expect_neq(h->lineage, start.lineage, "%s", g->name);
        cr_expect_eq(h->file_id, start.file_id, "%s", g->name);
        cr_expect_eq(h->stored_seq, 0, "%s", g->name);
        cr_expect_eq(h->committed, g->end, "%s", g->name);
        cr_expect_eq(h->last_seq, g->last_seq, "%s", g->name);
        cr_expect_eq(h->flags, 0, "%s", g->name);
        uint64_t lineage = h->lineage;
        append(s, 50, 1, "next");
        int again = segment_dup(s);
        segment_free(s);
        /* From now on it is one of this boot. */
        cr_assert_eq(segment_recover(again, NULL, NULL, &s, &found), 0, "%s", g->name);
        cr_expect_eq(found.records, g->records + 1, "%s", g->name);
        cr_expect(!found.is_of_other_boot, "%s", g->name);
        cr_expect_eq(segment_header(s)->lineage, lineage, "%s", g->name);
        segment_free(s);
    }
}

Test(segment_golden, another_version_is_told_apart_from_damage)
{
    uint32_t version = SEGMENT_VERSION + 1;
    struct segment_foreign foreign;
    struct segment_view *v;
    struct segment *s;
    int fd = load(&goldens[0]);

    cr_expect_eq(segment_read_foreign(fd, &foreign), -EBADMSG);
    cr_assert_eq(pwrite(fd, &version, sizeof(version), offsetof(struct segment_header, version)),
                 (ssize_t)sizeof(version));
    cr_expect_eq(segment_read_foreign(fd, &foreign), 0);
    cr_expect_eq(foreign.version, version);
    cr_expect(!foreign.is_done);
    cr_expect_eq(segment_view_open(fd, &v), -ENOTSUP);
    cr_expect_eq(segment_recover(fd, NULL, NULL, &s, NULL), -ENOTSUP);
    (void)close(fd);
}
