/* session: the clients of a room, by number, and the link that each of them came over. */
#pragma once

#include "crdt/crdt.h"
#include "common/hash_table.h"
#include "proto/lens.h"

#include <stdbool.h>
#include <sys/queue.h>

#define SESSIONS_MAX 65536u

struct link;

struct session {
    uint64_t number;
    struct link *link;
    enum crdt_format format; /* of the updates that it is sent */
    enum lens lens;
    bool is_read_only; /* presence aside */
    TAILQ_ENTRY(session) of_link;
    UT_hash_handle hh;
};

TAILQ_HEAD(session_list, session);

struct session_table {
    struct session *by_number;
};

/* NULL if there is none. */
struct session *session_find(const struct session_table *table, uint64_t number);
/* A new session without a link; NULL if there are SESSIONS_MAX. The number must be free. */
struct session *session_add(struct session_table *table, uint64_t number);
/* Takes it out of the table and frees it; its link has let go of it. */
void session_remove(struct session_table *table, struct session *session);
uint32_t session_count(const struct session_table *table);
