/*
 * A hostile room: what it sends to snapshotd. That is a real one, in this process, with SQLite;
 * roomd and the room are played. Whatever comes, it goes on, and another room is loaded.
 *
 * Inputs are as fuzz_ipc.h says; "LINEAGE0" stands for the lineage of the room's segment, in which
 * there is an edit.
 */
#include "fuzz_ipc.h"

#include "common/config.h"
#include "common/names.h"
#include "common/segment.h"
#include "proto/proto.h"
#include "snapshotd/control.h"
#include "snapshotd/fold_server.h"
#include "snapshotd/store_place.h"

#include <fcntl.h>

static struct {
    struct loop *loop;
    struct config config;
    struct store_place place;
    struct ipc *roomd; /* our end */
    uint64_t lineage;
    bool is_loaded;
} world;

/* ---- the world ---- */

static void make_segment(void)
{
    /* "a", of the client 1, in a root */
    static const uint8_t edit[] = {1, 1, 1, 0, 4, 1, 1, 't', 1, 'a', 0};
    static const uint8_t nothing[] = {0, 0};
    struct segment_record record = {
        .seq = 1, .kind = SEGMENT_UPDATE_V1, .payload = {edit, sizeof(edit)}};
    char hash[NAME_HASH_HEX + 1];
    struct segment *segment;

    name_hash(slice_str("default"), slice_str("r"), hash);
    char *dir CLEANUP_FREE = config_rooms_dir(&world.config);
    char *path CLEANUP_FREE = xasprintf("%s/%s", dir, hash);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && segment_create(fd, slice_str("default"), slice_str("r"), 0,
                                    slice_of(nothing, sizeof(nothing)), &segment) == 0);
    CHECK(segment_append(segment, &record, 1) == 0);
    world.lineage = segment_header(segment)->lineage;
    segment_free(segment);
}

static void on_open(void *ctx)
{
    (void)ctx;
}

static void on_roomd_frame(void *ctx, struct slice body)
{
    (void)ctx;
    (void)body;
}

static void on_roomd_end(void *ctx, int error)
{
    (void)ctx;
    (void)error;
    CHECK(!"snapshotd gives roomd up");
}

static void make_world(void)
{
    static const struct ipc_handler handler = {.on_frame = on_roomd_frame, .on_end = on_roomd_end};
    struct control *control;
    int fold_fd = fold_server_spawn();
    int rest;

    fuzz_make_dir();
    char *argv[] = {"--run", fuzz_dir, "--data", fuzz_dir, "--log-level", "error"};
    CHECK(fold_fd >= 0);
    CHECK(config_parse(&world.config, sizeof(argv) / sizeof(argv[0]), argv, &rest) == 0);
    log_init("snapshotd", world.config.log_level);
    CHECK(config_make_run(&world.config) == 0);
    CHECK(!store_place_init(&world.place, &world.config, false));
    make_segment();
    world.loop = loop_new();
    struct persist *persist =
        persist_new(world.loop, &world.config, fold_fd, &world.place.source, on_open, NULL);
    CHECK(control_new(world.loop, &world.config, persist, &control) == 0);
    char *path CLEANUP_FREE = config_snapshotd_socket(&world.config);
    int fd = ipc_connect(path);
    CHECK(fd >= 0);
    world.roomd = ipc_new(world.loop, fd, &handler, NULL);
}

/* ---- rooms ---- */

/* Our end of the connection of a room that is followed from now on. */
static int follow(const char *room)
{
    struct msg_store_room m = {.tenant = slice_str("default"), .room = slice_str(room)};
    int fds[2];

    CHECK(ipc_pair(fds) == 0);
    ipc_send_fd(world.roomd, proto_encode_store_room(&m), fds[1]);
    loop_turn(world.loop);
    return fds[0];
}

static void on_room_frame(void *ctx, struct slice body)
{
    (void)ctx;
    world.is_loaded = proto_code_of(body) == PROTO_STORE_LOADED;
}

static void on_room_end(void *ctx, int error)
{
    (void)ctx;
    (void)error;
    CHECK(!"a room that did nothing is given up");
}

static void expect_life(void)
{
    static const struct ipc_handler handler = {.on_frame = on_room_frame, .on_end = on_room_end};
    struct msg_store_open m = {.lineage = 1};
    struct ipc *room = ipc_new(world.loop, follow("another"), &handler, NULL);

    world.is_loaded = false;
    ipc_send_new(room, proto_encode_store_open(&m));
    for (int i = 0; i < TURNS_MAX && !world.is_loaded; i++)
        loop_turn(world.loop);
    CHECK(world.is_loaded);
    ipc_close(room);
    loop_turn(world.loop);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (!world.loop)
        make_world();
    int room = follow("r");
    uint8_t *copy = malloc(size);
    CHECK(copy);
    memcpy(copy, data, size);
    fuzz_name_number(copy, size, "LINEAGE0", world.lineage);
    fuzz_send_input(world.loop, room, copy, size);
    free(copy);
    expect_life();
    (void)close(room);
    expect_life();
    return 0;
}
