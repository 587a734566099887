/*
 * Power loss. A store works while every change of its files is written down; then the power fails
 * at every moment of that journal: what was synced is there, of what was not a random part is, also
 * parts of single writes. What the store then opens must hold everything that was acknowledged.
 *
 * SEED repeats the choices of a run, ROUNDS makes it go through the journal more than once.
 */
#include "tests/snapshotd/faulty_vfs.h"
#include "tests/snapshotd/store_helpers.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define ROOMS   3
#define APPENDS 200
#define FILES   4
#define SECTOR  512
#define LARGE                                                                                      \
    (256u << 10) /* so that the write-ahead log is copied into the database now and then */
#define PATH_LEN 512

/* A change of a file, or with `is_ack` the moment when `room` was told that its update `number` is
 * stored. */
struct event {
    enum vfs_change_kind kind;
    bool is_ack;
    size_t file;
    int64_t offset;
    uint8_t *data;
    size_t len;
    size_t room;
    unsigned number;
};

static struct {
    struct event *events;
    size_t count;
    char *files[FILES];
    size_t file_count;
} journal;

/* What a file would be after a power loss: the durable bytes, and the changes since the last sync.
 */
struct image {
    struct buffer durable;
    bool exists;
    size_t *pending; /* of the journal */
    size_t pending_count;
};

static const char *const room_names[ROOMS] = {"a", "b", "c"};
static uint32_t dice;

static uint32_t roll(uint32_t below)
{
    dice ^= dice << 13;
    dice ^= dice >> 17;
    dice ^= dice << 5;
    return dice % below;
}

/* ---- the journal ---- */

static struct event *add_event(void)
{
    if ((journal.count & (journal.count - 1)) == 0)
        journal.events = xrealloc(journal.events, (journal.count ? journal.count * 2 : 1) *
                                                      sizeof(*journal.events));
    struct event *e = &journal.events[journal.count++];
    memset(e, 0, sizeof(*e));
    return e;
}

static size_t file_index(const char *path)
{
    const char *name = strrchr(path, '/') + 1;
    size_t i = 0;

    while (i < journal.file_count && strcmp(journal.files[i], name) != 0)
        i++;
    cr_assert_lt(i, FILES);
    if (i == journal.file_count)
        journal.files[journal.file_count++] = xstrdup(name);
    return i;
}

static void write_down(const struct vfs_change *change)
{
    struct event *e = add_event();

    e->kind = change->kind;
    e->file = file_index(change->path);
    e->offset = change->offset;
    e->len = change->len;
    if (change->len > 0) {
        e->data = xmalloc(change->len);
        memcpy(e->data, change->data, change->len);
    }
}

static void write_down_ack(size_t room, unsigned number)
{
    struct event *e = add_event();

    e->is_ack = true;
    e->room = room;
    e->number = number;
}

/* ---- what the store does meanwhile ---- */

static void append_number(struct store *s, size_t room, unsigned number)
{
    char text[16];

    (void)snprintf(text, sizeof(text), "<%u>", number);
    cr_assert_eq(append_text(s, key_of("t", room_names[room]), number, text), 0);
    write_down_ack(room, number);
}

/* So that the write-ahead log is copied into the database again and again. */
static int checkpoint_often(sqlite3 *db, char **ret_error, const void *api)
{
    (void)ret_error;
    (void)api;
    return sqlite3_wal_autocheckpoint(db, 40);
}

/* A snapshot that holds all numbers so far. */
static void fold_numbers(struct store *s, size_t room, unsigned up_to)
{
    struct store_key key = key_of("t", room_names[room]);
    struct loaded l = load_room(s, key);
    struct buffer state = {0};

    for (unsigned n = 1; n <= up_to; n++)
        buffer_printf(&state, "<%u>", n);
    buffer_append(&state, "", 1);
    cr_assert_eq(fold_room(s, key, l.stat, (const char *)state.data), 0);
    buffer_done(&state);
    buffer_done(&l.parts);
}

static void work(const char *dir)
{
    unsigned numbers[ROOMS] = {0};
    struct store *s = open_store(dir);

    for (unsigned i = 0; i < APPENDS; i++) {
        size_t room = roll(ROOMS);
        append_number(s, room, ++numbers[room]);
        if (i % 20 == 19)
            fold_numbers(s, room, numbers[room]);
        if (i == APPENDS / 2) { /* copies the write-ahead log into the database and removes it */
            store_close(s);
            s = open_store(dir);
        }
    }
    store_close(s);
}

/* ---- what a power loss leaves ---- */

static void set_size(struct buffer *bytes, size_t size)
{
    if (size > bytes->len) {
        size_t gap = size - bytes->len;
        memset(buffer_reserve(bytes, gap), 0, gap);
    }
    bytes->len = size;
}

static void put(struct buffer *bytes, const struct event *e, size_t from, size_t to)
{
    if ((size_t)e->offset + to > bytes->len)
        set_size(bytes, (size_t)e->offset + to);
    memcpy(bytes->data + e->offset + from, e->data + from, to - from);
}

static void apply(struct buffer *bytes, bool *exists, const struct event *e)
{
    *exists = e->kind != VFS_REMOVE;
    if (e->kind == VFS_WRITE)
        put(bytes, e, 0, e->len);
    else if (e->kind == VFS_TRUNCATE)
        set_size(bytes, (size_t)e->offset);
    else if (e->kind == VFS_REMOVE)
        set_size(bytes, 0);
}

/* A change that was not synced: lost, there, or some sectors of it. */
static void apply_perhaps(struct buffer *bytes, bool *exists, const struct event *e)
{
    switch (roll(4)) {
    case 0:
        break;
    case 1:
        if (e->kind == VFS_WRITE && e->len > SECTOR) {
            size_t from = roll((uint32_t)(e->len / SECTOR)) * SECTOR;
            *exists = true;
            put(bytes, e, from, roll(2) ? e->len : from + SECTOR);
        }
        break;
    default:
        apply(bytes, exists, e);
        break;
    }
}

static void make_durable(struct image *image, size_t count)
{
    for (size_t i = 0; i < count; i++)
        apply(&image->durable, &image->exists, &journal.events[image->pending[i]]);
    image->pending_count -= count;
    memmove(image->pending, image->pending + count, image->pending_count * sizeof(size_t));
}

/* Names that are gone from the directory stay gone. */
static void sync_directory(struct image *images)
{
    for (size_t i = 0; i < journal.file_count; i++) {
        size_t count = images[i].pending_count;
        while (count > 0 && journal.events[images[i].pending[count - 1]].kind != VFS_REMOVE)
            count--;
        make_durable(&images[i], count);
    }
}

static void follow(struct image *images, size_t at)
{
    const struct event *e = &journal.events[at];
    struct image *image = &images[e->file];

    if (e->kind != VFS_SYNC) {
        image->pending[image->pending_count++] = at;
        return;
    }
    if (!image->exists) /* SQLite syncs the directory with the first sync of a new file */
        sync_directory(images);
    make_durable(image, image->pending_count);
    image->exists = true;
}

static void write_image(const char *dir, const char *name, const struct image *image)
{
    char *path CLEANUP_FREE = xasprintf("%s/%s", dir, name);
    struct buffer bytes = {0};
    bool exists = image->exists;

    buffer_append(&bytes, image->durable.data, image->durable.len);
    for (size_t i = 0; i < image->pending_count; i++)
        apply_perhaps(&bytes, &exists, &journal.events[image->pending[i]]);
    if (exists) {
        int fd CLEANUP_FD = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        cr_assert_geq(fd, 0);
        cr_assert_eq(write(fd, bytes.data, bytes.len), (ssize_t)bytes.len);
    }
    buffer_done(&bytes);
}

/* The numbers in what was loaded: 1, 2, … without a hole; returns the last. */
static unsigned count_numbers(const struct buffer *parts)
{
    unsigned last = 0;

    for (const char *p = (const char *)parts->data; p && (p = strchr(p, '<')); p++) {
        unsigned long number = strtoul(p + 1, NULL, 10);
        cr_assert_eq(number, last + 1, "number %lu after %u", number, last);
        last = (unsigned)number;
    }
    return last;
}

static void assert_recovered(const char *dir, size_t at, const unsigned *acked)
{
    struct store *s = open_store(dir);

    for (size_t room = 0; room < ROOMS; room++) {
        struct store_key key = key_of("t", room_names[room]);
        struct loaded l = load_room(s, key);
        cr_assert_eq(l.error, 0, "after event %zu", at);
        buffer_append(&l.parts, "", 1);
        unsigned found = count_numbers(&l.parts);
        cr_assert(found >= acked[room] && found <= acked[room] + 1,
                  "room %zu after event %zu: %u of %u", room, at, found, acked[room]);
        cr_assert_eq(append_text(s, key, found + 1, "more"), 0);
        buffer_done(&l.parts);
    }
    store_close(s);
}

static void lose_power_at_every_event(void)
{
    struct image images[FILES] = {0};
    unsigned acked[ROOMS] = {0};
    char dir[PATH_LEN];

    for (size_t i = 0; i < FILES; i++)
        images[i].pending = xcalloc(journal.count, sizeof(size_t));
    for (size_t at = 0; at < journal.count; at++) {
        const struct event *e = &journal.events[at];
        if (e->is_ack)
            acked[e->room] = e->number;
        else
            follow(images, at);
        make_test_dir(dir, sizeof(dir));
        for (size_t i = 0; i < journal.file_count; i++)
            write_image(dir, journal.files[i], &images[i]);
        assert_recovered(dir, at, acked);
        remove_test_dir(dir);
    }
    for (size_t i = 0; i < FILES; i++) {
        buffer_done(&images[i].durable);
        free(images[i].pending);
    }
}

static unsigned from_environment(const char *name, unsigned fallback)
{
    const char *text = getenv(name);

    return text ? (unsigned)strtoul(text, NULL, 10) : fallback;
}

Test(power, whatever_was_acknowledged_is_there_after_a_power_loss, .timeout = 3000)
{
    unsigned rounds = from_environment("ROUNDS", 1);
    unsigned seed = from_environment("SEED", (unsigned)time(NULL));
    char dir[PATH_LEN];

    dice = seed ? seed : 1;
    (void)setenv("TMPDIR", "/dev/shm",
                 1); /* what the journal says is the disk; no other is needed */
    make_test_dir(dir, sizeof(dir));
    faulty_vfs_install();
    (void)sqlite3_auto_extension((void (*)(void))checkpoint_often);
    faulty_vfs_observe(write_down);
    work(dir);
    faulty_vfs_observe(NULL);
    remove_test_dir(dir);

    (void)fprintf(stderr, "seed %u: %zu events\n", seed, journal.count);
    cr_assert_gt(journal.count, APPENDS * 3);
    for (unsigned i = 0; i < rounds; i++)
        lose_power_at_every_event();
    for (size_t i = 0; i < journal.count; i++)
        free(journal.events[i].data);
    free(journal.events);
    for (size_t i = 0; i < journal.file_count; i++)
        free(journal.files[i]);
}
