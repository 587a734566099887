#include "common/log.h"
#include "common/names.h"
#include "common/segment.h"
#include "ctl/command.h"
#include "ctl/room_list.h"

#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <stdio.h>
#include <sys/stat.h>

static char run_dir[256];
static char rooms_dir[300];
static struct segment *segments[8];
static size_t segment_count;

static void set_up(void)
{
    const char *tmp = getenv("TMPDIR");

    (void)snprintf(run_dir, sizeof(run_dir), "%s/concord-test-XXXXXX", tmp ? tmp : "/tmp");
    cr_assert_not_null(mkdtemp(run_dir));
    (void)snprintf(rooms_dir, sizeof(rooms_dir), "%s/rooms", run_dir);
    cr_assert_eq(mkdir(rooms_dir, 0700), 0);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void tear_down(void)
{
    while (segment_count > 0)
        segment_free(segments[--segment_count]);
    (void)nftw(run_dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

TestSuite(room_list, .init = set_up, .fini = tear_down);

/* A segment as a room has it; its header stays mapped. */
static struct segment_header *make_room(const char *room, uint32_t pid)
{
    char hash[NAME_HASH_HEX + 1];
    struct segment *s;

    name_hash(slice_str("t"), slice_str(room), hash);
    char *path CLEANUP_FREE = xasprintf("%s/%s", rooms_dir, hash);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    cr_assert_eq(segment_create(fd, slice_str("t"), slice_str(room), 10, slice_of("\0\0", 2), &s),
                 0);
    segments[segment_count++] = s;
    struct segment_header *h = segment_header(s);
    atomic_store(&h->pid, pid);
    atomic_store(&h->last_seq, 42);
    atomic_store(&h->stored_seq, 40);
    atomic_store(&h->clients, 3);
    atomic_store(&h->updates, 32);
    atomic_store(&h->started_ms, 1000);
    return h;
}

static void make_file(const char *name, size_t len)
{
    char *path CLEANUP_FREE = xasprintf("%s/%s", rooms_dir, name);
    FILE *f = fopen(path, "w");

    for (size_t i = 0; i < len; i++)
        (void)fputc('#', f);
    (void)fclose(f);
}

/* A process that is not there. */
#define DEAD_PID 0x7ffffffe

static void make_rooms(void)
{
    (void)make_room("beta \x1b[31m", (uint32_t)getpid());
    (void)make_room("alpha", DEAD_PID);
    atomic_store(&make_room("closed", (uint32_t)getpid())->flags, SEGMENT_CLOSED);
    make_file("00000000000000000000000000000000", 100);  /* unfinished */
    make_file("11111111111111111111111111111111", 8192); /* no segment */
    make_file("draft.new", 8192);
}

Test(room_list, lists_open_rooms_by_name)
{
    struct room_list list;

    make_rooms();
    cr_assert_eq(room_list_read(&list, rooms_dir), 0);
    cr_assert_eq(list.count, 2);
    cr_assert_eq(list.damaged, 1);
    cr_assert(!list.rooms[0].is_alive);
    cr_assert(list.rooms[1].is_alive);

    struct buffer out = {0};
    room_list_print_table(&list, 66000, &out);
    buffer_append(&out, "", 1);
    char *want CLEANUP_FREE = xasprintf(
        "STATE            PID  CLIENTS    UPDATES        BYTES      LAG    AGE  ROOM\n"
        "dead        %8d        3         32         4104        2     1m  alpha\n"
        "open        %8d        3         32         4104        2     1m  beta \\x1b[31m\n",
        DEAD_PID, (int)getpid());
    cr_assert_str_eq((const char *)out.data, want);
    buffer_done(&out);
    room_list_done(&list);
}

Test(room_list, prints_json_with_the_names_as_they_are)
{
    struct room_list list;
    struct buffer out = {0};

    make_rooms();
    cr_assert_eq(room_list_read(&list, rooms_dir), 0);
    room_list_print_json(&list, 66000, &out);
    json_t *rooms = json_loadb((const char *)out.data, out.len, 0, NULL);
    cr_assert_eq(json_array_size(rooms), 2);
    json_t *beta = json_array_get(rooms, 1);
    cr_assert_str_eq(json_string_value(json_object_get(beta, "room")), "beta \x1b[31m");
    cr_assert_str_eq(json_string_value(json_object_get(beta, "state")), "open");
    cr_assert_eq(json_integer_value(json_object_get(beta, "pid")), getpid());
    cr_assert_eq(json_integer_value(json_object_get(beta, "clients")), 3);
    cr_assert_eq(json_integer_value(json_object_get(beta, "lag")), 2);
    cr_assert_eq(json_integer_value(json_object_get(beta, "age_ms")), 65000);
    json_decref(rooms);
    buffer_done(&out);
    room_list_done(&list);
}

Test(room_list, rooms_in_quarantine_and_why)
{
    struct quarantine crashed = {
        .reason = QUARANTINE_CRASHES, .since_ms = 5000, .crashes = 5, .last_signal = 11};
    struct quarantine damaged = {.reason = QUARANTINE_DAMAGE, .since_ms = 5000};
    char hash[NAME_HASH_HEX + 1];
    struct room_list list;
    struct buffer out = {0};

    (void)make_room("poison", DEAD_PID);
    name_hash(slice_str("t"), slice_str("poison"), hash);
    cr_assert_eq(quarantine_set(rooms_dir, hash, &crashed), 0);
    /* Its segment tells nothing: the mark does. */
    quarantine_set_names(&damaged, slice_str("t"), slice_str("broken\n"));
    name_hash(slice_str("t"), slice_str("broken\n"), hash);
    make_file(hash, 8192);
    cr_assert_eq(quarantine_set(rooms_dir, hash, &damaged), 0);
    cr_assert_eq(room_list_read(&list, rooms_dir), 0);
    cr_assert_eq(list.count, 2);

    room_list_print_table(&list, 66000, &out);
    buffer_append(&out, "", 1);
    const char *text = (const char *)out.data;
    cr_assert(strstr(text, "  broken%0A  (damage)\n"), "%s", text);
    cr_assert(strstr(text, "  poison  (crashes, 5 in a minute, signal 11)\n"), "%s", text);
    cr_assert_null(strstr(text, "dead"));
    out.len = 0;
    room_list_print_json(&list, 66000, &out);
    json_t *rooms = json_loadb((const char *)out.data, out.len, 0, NULL);
    json_t *poison = json_array_get(rooms, 1);
    cr_assert_str_eq(json_string_value(json_object_get(poison, "state")), "quarantined");
    json_t *why = json_object_get(poison, "quarantine");
    cr_assert_str_eq(json_string_value(json_object_get(why, "reason")), "crashes");
    cr_assert_eq(json_integer_value(json_object_get(why, "since_ms")), 5000);
    cr_assert_eq(json_integer_value(json_object_get(why, "crashes")), 5);
    cr_assert_eq(json_integer_value(json_object_get(why, "last_signal")), 11);
    json_decref(rooms);
    buffer_done(&out);
    room_list_done(&list);
}

Test(room_list, no_rooms_is_an_empty_list_and_no_server_an_error)
{
    struct room_list list;
    struct buffer out = {0};

    cr_assert_eq(room_list_read(&list, rooms_dir), 0);
    room_list_print_json(&list, 0, &out);
    cr_assert_eq(out.len, 3);
    cr_assert_eq(memcmp(out.data, "[]\n", 3), 0);
    buffer_done(&out);
    room_list_done(&list);
    cr_assert_eq(room_list_read(&list, "/nonexistent"), -ENOENT);
}

Test(room_list, the_command_line)
{
    char *run CLEANUP_FREE = xasprintf("--run=%s", run_dir);
    struct {
        int status;
        char *argv[6];
    } cases[] = {
        {0, {"rooms", "--run", run_dir}},
        {0, {run, "rooms", "--json"}},
        {0, {"--port", "1", "--run", run_dir, "rooms"}},
        {0, {"help"}},
        {0, {"--help"}},
        {0, {"--version"}},
        {0, {"doc", "--help"}},
        {0, {"doctor", "--help"}},
        {0, {"help", "doctor"}},
        {2, {"doc", "stat"}},
        {2, {"doctor", "one", "two", "--run", run_dir}},
        {2, {"doctor", "--release", "--run", run_dir}},
        {1, {"rooms", "--data", "/nonexistent"}},
        {1, {"rooms", "--no-such-thing", "1", run}},
        {2, {"no-such-command"}},
        {2, {"rooms", "extra"}},
        {2, {NULL}},
    };

    cr_redirect_stdout();
    cr_redirect_stderr();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int argc = 0;
        while (argc < 6 && cases[i].argv[argc])
            argc++;
        cr_assert_eq(command_run(argc, cases[i].argv), cases[i].status, "case %zu", i);
    }
}
