/*
 * The open rooms of this machine, read from the headers of their segments, and those in quarantine.
 * No room gets a message, none is disturbed, and one that hangs is listed like the others.
 */
#pragma once

#include "common/buffer.h"
#include "common/memory.h"
#include "common/names.h"
#include "common/quarantine.h"

struct room_info {
    char hash[NAME_HASH_HEX + 1];
    char tenant[256];
    char room[256];
    uint16_t tenant_len;
    uint16_t room_len;
    uint32_t pid;
    bool is_alive;       /* the process runs */
    bool is_quarantined; /* none may run; the names are those of the mark if nothing else tells */
    enum quarantine_reason reason;
    uint32_t crashes;
    uint32_t last_signal;
    uint64_t quarantined_ms; /* wall clock */
    uint32_t clients;
    uint64_t updates;
    uint64_t bytes; /* published in the segment */
    uint64_t last_seq;
    uint64_t stored_seq;
    uint64_t structs;
    uint64_t pending_bytes;
    uint64_t started_ms;       /* wall clock */
    uint64_t last_activity_ms; /* wall clock */
};

struct room_list {
    struct room_info *rooms; /* sorted by room, then tenant */
    size_t count;
    size_t cap;
    size_t damaged; /* files that are no segment */
};

/* Reads the directory of segments. Unfinished and closed ones are passed over. 0 or -errno. */
WARN_UNUSED int room_list_read(struct room_list *list, const char *rooms_dir);
void room_list_done(struct room_list *list);

/* Appends a table for people, or a JSON array. */
void room_list_print_table(const struct room_list *list, uint64_t now_ms, struct buffer *out);
void room_list_print_json(const struct room_list *list, uint64_t now_ms, struct buffer *out);
