#include "ctl/doctor.h"

#include "ctl/doctor_all.h"
#include "ctl/doctor_repair.h"
#include "ctl/doctor_room.h"
#include "ctl/output.h"
#include "ctl/server.h"

#include <errno.h>
#include <fcntl.h>

enum status {
    HEALTHY = 0,
    FINDINGS = 1,
    UNCHECKED = 2,
};

struct request {
    const char *tenant;
    const char *drop_record;
    const char *drop_row;
    const char *export;
    bool is_release;
};

static const struct option options[] = {
    {"--tenant", NULL, "NAME", offsetof(struct request, tenant), 1, "of the room (default)"},
    {"--export", NULL, "FILE", offsetof(struct request, export), 1,
     "write what there is of the room as one v1 update; - is stdout"},
    {"--drop-record", NULL, "N", offsetof(struct request, drop_record), 1,
     "take record number N out of the segment; `checkpoint`: its checkpoint"},
    {"--drop-row", NULL, "N", offsetof(struct request, drop_row), 1,
     "take update number N out of the store"},
    {"--release", NULL, NULL, offsetof(struct request, is_release), 1,
     "let the room out of quarantine as it is"},
};

static const struct option_table table = {
    .options = options, .count = sizeof(options) / sizeof(options[0]), .takes_settings = true};

/* A room by its name, or by the name of its file if there is one. */
struct target {
    const char *rooms_dir;
    char hash[NAME_HASH_HEX + 1];
    struct store_key key; /* empty if the file is named */
};

static int misused(const char *why)
{
    (void)fprintf(stderr, "concordctl: %s; `concordctl doctor --help` tells more\n", why);
    return UNCHECKED;
}

static int complain(const char *what, const char *why)
{
    (void)fprintf(stderr, "concordctl: %s: %s\n", what, why);
    return UNCHECKED;
}

static void print(struct buffer *out)
{
    if (out->len > 0)
        (void)fwrite(out->data, 1, out->len, stdout);
    (void)fflush(stdout);
    buffer_done(out);
}

/* NULL after a message. */
static struct doctor_store *open_store(const struct config *config, bool is_to_read)
{
    struct doctor_store *store = NULL;
    int r = doctor_store_open(config, is_to_read, &store);

    if (r == -ENOENT)
        (void)complain(config->data, "nothing is stored there");
    else if (r < 0)
        (void)complain("the store", store_strerror(r));
    return store;
}

/* With the limits of a room; a replay is never without. */
static struct clinic open_clinic(const struct config *config, const char *rooms_dir,
                                 bool is_to_read)
{
    return (struct clinic){.rooms_dir = rooms_dir,
                           .store = open_store(config, is_to_read),
                           .limits = {.cpu_ms = config->room_turn_cpu_ms,
                                      .memory_bytes = (uint64_t)config->room_memory_mib << 20}};
}

/* ---- all rooms ---- */

static int check_all(const struct config *config, const char *rooms_dir)
{
    struct clinic clinic = open_clinic(config, rooms_dir, true);
    struct doctor_count count;
    struct buffer out = {0};
    int r = doctor_examine_all(&clinic, &out, &count);

    if (r == 0)
        buffer_printf(&out,
                      "%zu open rooms, %zu stored rooms; %zu with findings, %zu not checked\n",
                      count.segments, count.stored, count.sick, count.unchecked);
    bool has_store = clinic.store;
    doctor_store_close(clinic.store);
    print(&out);
    if (r < 0)
        return complain("the rooms cannot be listed", store_strerror(r));
    if (count.sick > 0)
        return FINDINGS;
    return count.unchecked > 0 || !has_store ? UNCHECKED : HEALTHY;
}

/* ---- one room ---- */

static bool is_file_name(const char *rooms_dir, const char *name)
{
    char *path CLEANUP_FREE = xasprintf("%s/%s", rooms_dir, name);

    return strspn(name, "0123456789abcdef") == NAME_HASH_HEX && strlen(name) == NAME_HASH_HEX &&
           (access(path, F_OK) == 0 || quarantine_is_set(rooms_dir, name));
}

static struct target find_target(const struct request *q, const char *rooms_dir, const char *name)
{
    struct target t = {.rooms_dir = rooms_dir};

    if (!q->tenant && is_file_name(rooms_dir, name)) {
        memcpy(t.hash, name, sizeof(t.hash));
        return t;
    }
    t.key.tenant = slice_str(q->tenant ? q->tenant : PATIENT_TENANT);
    t.key.room = slice_str(name);
    name_hash(t.key.tenant, t.key.room, t.hash);
    return t;
}

static int open_segment(const struct target *t)
{
    char *path CLEANUP_FREE = xasprintf("%s/%s", t->rooms_dir, t->hash);

    return open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
}

/* Neither open, nor stored, nor marked. */
static bool is_unknown(const struct patient *p)
{
    return !p->has_segment && p->stored.count == 0 && !p->is_quarantined && p->finding_count == 0;
}

static int show(const struct patient *p, bool has_store)
{
    struct buffer out = {0};

    if (is_unknown(p))
        return complain("there is no such room", "neither open nor stored");
    patient_print(p, &out);
    print(&out);
    if (p->finding_count > 0)
        return FINDINGS;
    return has_store ? HEALTHY : UNCHECKED;
}

static void tell_missing(const struct patient *p)
{
    struct buffer out = {0};

    for (size_t i = 0; i < p->count; i++) {
        if (!p->parts[i].wrong)
            continue;
        buffer_append_str(&out, "left out: ");
        part_print(&p->parts[i], &out);
        buffer_printf(&out, " %s\n", p->parts[i].wrong);
    }
    buffer_printf(&out, "%zu parts are in, %zu left out, %zu damaged\n", p->count - p->wrong,
                  p->wrong, p->scan.damaged);
    (void)fwrite(out.data, 1, out.len, stderr);
    buffer_done(&out);
}

static int export_to(const struct patient *p, const char *path)
{
    struct buffer state = {0};

    if (is_unknown(p))
        return complain("there is no such room", "neither open nor stored");
    int r = repair_export(p, &state);
    if (r == 0)
        r = output_write(path, buffer_slice(&state));
    buffer_done(&state);
    if (r < 0)
        return complain(path, r == -ECHILD ? "merging it kills" : strerror(-r));
    tell_missing(p);
    return p->wrong + p->scan.damaged > 0 || p->scan.problem || p->scan.is_foreign ? FINDINGS
                                                                                   : HEALTHY;
}

/* Looks at the room, and writes it to `export` if that is not NULL. */
static int examine_room(const struct config *config, const struct target *t, const char *export)
{
    struct clinic clinic = open_clinic(config, t->rooms_dir, true);
    int fd CLEANUP_FD = open_segment(t);
    struct patient p;
    int status = UNCHECKED;
    int r = patient_examine(&p, &clinic, t->hash, t->key, fd);

    if (r < 0)
        (void)complain(t->hash, store_strerror(r));
    else if (export)
        status = export_to(&p, export);
    else
        status = show(&p, clinic.store != NULL);
    patient_done(&p);
    doctor_store_close(clinic.store);
    return status;
}

static int release(const struct target *t)
{
    if (!quarantine_is_set(t->rooms_dir, t->hash))
        return complain(t->hash, "the room is not in quarantine");
    int r = quarantine_clear(t->rooms_dir, t->hash);
    if (r < 0)
        return complain(t->hash, strerror(-r));
    (void)puts("released: the next join starts the room");
    return HEALTHY;
}

/* ---- repairs ---- */

static int parse_number(const char *text, uint64_t *ret)
{
    char *rest;

    if (strcmp(text, "checkpoint") == 0) {
        *ret = REPAIR_CHECKPOINT;
        return 0;
    }
    errno = 0;
    unsigned long long n = strtoull(text, &rest, 10);
    if (errno || rest == text || *rest || text[0] < '0' || text[0] > '9' || n > INT64_MAX)
        return -EINVAL;
    *ret = n;
    return 0;
}

static const char *repair_strerror(int error)
{
    switch (-error) {
    case ENOENT:
        return "there is none of this number";
    case EUCLEAN:
        return "what all else depends on is bad: the header, the checkpoint or the snapshot; "
               "--export saves the rest";
    case ENODATA:
        return "the store cannot be read, and may have what is lost; which server? --data DIR says "
               "it";
    case ESTALE:
        return "somebody else has just written to the room; try again";
    case ECHILD:
        return "what is left cannot be merged; the store is as it was";
    }
    return store_strerror(error);
}

/* The room as it is now: out of quarantine if nothing else is wrong with it. */
static int examine_repaired(const struct config *config, const struct target *t, struct buffer *out)
{
    struct clinic clinic = open_clinic(config, t->rooms_dir, true);
    int fd CLEANUP_FD = open_segment(t);
    struct patient p;
    int status = FINDINGS;
    int r = patient_examine(&p, &clinic, t->hash, t->key, fd);

    if (r == 0)
        patient_print(&p, out);
    if (r == 0 && clinic.store && p.finding_count == (size_t)p.is_quarantined) {
        r = quarantine_clear(t->rooms_dir, t->hash);
        if (r == 0) {
            buffer_append_str(out, "released: the next join starts the room\n");
            status = HEALTHY;
        }
    }
    if (r < 0)
        status = complain(t->hash, store_strerror(r));
    patient_done(&p);
    doctor_store_close(clinic.store);
    return status;
}

/* 0 or -errno after a message. */
static int drop(const struct request *q, uint64_t number, const struct config *config,
                const struct target *t, int fd, struct buffer *out)
{
    struct clinic clinic = open_clinic(config, t->rooms_dir, !q->drop_row);
    struct patient p;
    int r = patient_examine(&p, &clinic, t->hash, t->key, fd);

    if (r == 0 && q->drop_row)
        r = clinic.store ? repair_store(&p, clinic.store, config->data, number, out) : -EIO;
    else if (r == 0)
        r = repair_segment(&p, fd, number, out);
    if (r < 0)
        (void)complain(q->drop_row ? "--drop-row" : "--drop-record", repair_strerror(r));
    patient_done(&p);
    doctor_store_close(clinic.store);
    return r;
}

static int repair(const struct request *q, const struct config *config, const struct target *t)
{
    struct buffer out = {0};
    uint64_t number;
    bool has_marked;
    int fd;

    if (parse_number(q->drop_row ? q->drop_row : q->drop_record, &number) < 0)
        return misused("a number is wanted");
    int r = repair_begin(t->rooms_dir, t->hash, t->key, &fd, &has_marked);
    if (r < 0)
        return complain(t->hash, r == -EBUSY ? "a room runs on it; only one in quarantine or one "
                                               "that has ended can be repaired"
                                             : strerror(-r));
    r = drop(q, number, config, t, fd, &out);
    if (fd >= 0)
        (void)close(fd);
    if (r < 0 && has_marked && quarantine_clear(t->rooms_dir, t->hash) < 0)
        (void)complain(t->hash, "the mark of the quarantine cannot be removed");
    int status = r < 0 ? UNCHECKED : examine_repaired(config, t, &out);
    print(&out);
    return status;
}

/* ---- the command line ---- */

static int dispatch(const struct request *q, const struct config *config, const char *rooms_dir,
                    const char *name)
{
    int actions = q->is_release + !!q->export + !!q->drop_record + !!q->drop_row;

    if (actions > 1)
        return misused("one thing at a time");
    if (!name)
        return actions > 0 || q->tenant ? misused("which room?") : check_all(config, rooms_dir);
    struct target target = find_target(q, rooms_dir, name);
    if (q->is_release)
        return release(&target);
    if (q->drop_record || q->drop_row)
        return repair(q, config, &target);
    return examine_room(config, &target, q->export);
}

int doctor_run(struct arguments *a, int argc, char **argv)
{
    struct request q = {0};
    struct config config;

    if (arguments_parse(a, &table, 1, &q, argc, argv) < 0)
        return UNCHECKED;
    if (a->wants_help) {
        doctor_print_help(stdout);
        return HEALTHY;
    }
    if (a->name_count > 1)
        return misused("doctor takes one room");
    if (server_find(a->settings, a->setting_count, &config) < 0)
        return UNCHECKED;
    char *rooms_dir CLEANUP_FREE = config_rooms_dir(&config);
    int status = dispatch(&q, &config, rooms_dir, a->name_count > 0 ? a->names[0] : NULL);
    config_done(&config);
    return status;
}

/* clang-format off */
static const char help_before[] =
    "usage: concordctl doctor [ROOM] [options] [settings]\n"
    "\n"
    "Examines rooms: the segment of each that is open, and what the store has of each. Every\n"
    "record is checked and replayed as a room does it when it starts, in a process of its own\n"
    "with the limits of a room (room-turn-cpu-ms for a record, room-memory-mib for all). A\n"
    "server that runs is not disturbed; the store is opened to read.\n"
    "\n"
    "Without ROOM all rooms are examined: a line for each one with findings, and a last line\n"
    "that counts. With ROOM one is, in full. ROOM is a room's name, or the name of its file\n"
    "in RUN/rooms.\n"
    "\n"
    "Options:\n";

static const char help_behind[] =
    "\n"
    "A room is put into quarantine when it crashes again and again or its segment is damaged:\n"
    "its bytes are kept, joins are refused. doctor ROOM names the record that kills it, also\n"
    "one that was not yet published when the room died on it. N is a number that doctor has\n"
    "named.\n"
    "\n"
    "--drop-record writes the segment anew without the record. For a damaged place N is the\n"
    "first number that is missing; what is whole behind it is kept, and what the store has of\n"
    "it is put in. --drop-row replaces what is stored by one snapshot of everything but that\n"
    "update and others that kill. Both work on a room that no process runs. They keep what\n"
    "they took away until you remove it: records and the segment as it was in RUN/rooms,\n"
    "which is memory (HASH.dropped-…, HASH.before-repair.N), updates in DATA. Then they\n"
    "examine the room again, and release it if nothing else is wrong.\n"
    "\n"
    "What others built on a dropped record waits for it and is not seen (`pending`). A client\n"
    "that still has the record sends it again when it joins.\n"
    "\n"
    "--export may be used on any room. It tells on stderr what is left out.\n"
    "\n"
    "Exit status: 0 healthy, or done; 1 there are findings; 2 something could not be examined\n"
    "or done, or the command line is wrong.\n"
    "\n"
    "Examples:\n"
    "  concordctl doctor --data /srv/concord\n"
    "  concordctl doctor --data /srv/concord my-room\n"
    "  concordctl doctor --data /srv/concord my-room --export saved.v1\n"
    "  concordctl doctor --data /srv/concord my-room --drop-record 41\n";
/* clang-format on */

void doctor_print_help(FILE *out)
{
    (void)fputs(help_before, out);
    arguments_print_options(&table, out);
    (void)fputs(help_behind, out);
}
