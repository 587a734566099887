#include "roomd/session.h"

#include "common/memory.h"

struct session *session_find(const struct session_table *table, uint64_t number)
{
    struct session *s;

    TABLE_FIND_U64(table->by_number, number, s);
    return s;
}

struct session *session_add(struct session_table *table, uint64_t number)
{
    if (session_count(table) >= SESSIONS_MAX)
        return NULL;
    struct session *s = xcalloc(1, sizeof(*s));
    s->number = number;
    TABLE_ADD_U64(table->by_number, number, s);
    return s;
}

void session_remove(struct session_table *table, struct session *session)
{
    HASH_DEL(table->by_number, session);
    free(session);
}

uint32_t session_count(const struct session_table *table)
{
    return HASH_COUNT(table->by_number);
}
