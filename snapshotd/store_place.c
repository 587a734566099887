#include "snapshotd/store_place.h"

#include "snapshotd/postgres_url.h"
#include "snapshotd/store_postgres.h"
#include "snapshotd/store_sqlite.h"

#include <errno.h>

#define SQLITE_SCHEME "sqlite:"

/* SQLite is open at once, and never lost. */
static int open_sqlite(void *ctx, struct loop *loop, const struct store_owner *owner,
                       struct store **ret_store)
{
    const struct store_place *place = ctx;

    (void)loop;
    (void)owner;
    return store_sqlite_open(place->where, ret_store);
}

static int open_sqlite_to_read(void *ctx, struct loop *loop, const struct store_owner *owner,
                               struct store **ret_store)
{
    const struct store_place *place = ctx;

    (void)loop;
    (void)owner;
    return store_sqlite_open_to_read(place->where, ret_store);
}

static int open_postgres(void *ctx, struct loop *loop, const struct store_owner *owner,
                         struct store **ret_store)
{
    const struct store_place *place = ctx;

    *ret_store = store_postgres_open(loop, place->where, STORE_POSTGRES_SILENCE_MS, owner);
    return -EINPROGRESS;
}

static int open_postgres_to_read(void *ctx, struct loop *loop, const struct store_owner *owner,
                                 struct store **ret_store)
{
    const struct store_place *place = ctx;

    *ret_store = store_postgres_open_to_read(loop, place->where, STORE_POSTGRES_SILENCE_MS, owner);
    return -EINPROGRESS;
}

static void use_sqlite(struct store_place *place, const char *dir, bool is_to_read)
{
    place->where = xstrdup(dir);
    place->name = xasprintf("SQLite in %s", dir);
    place->source.open = is_to_read ? open_sqlite_to_read : open_sqlite;
}

static const char *use_postgres(struct store_place *place, const char *url, bool is_to_read)
{
    const char *fault = postgres_url_fault(url);

    if (fault)
        return fault;
    place->where = xstrdup(url);
    place->name = postgres_url_name(url);
    place->source.open = is_to_read ? open_postgres_to_read : open_postgres;
    return NULL;
}

const char *store_place_init(struct store_place *place, const struct config *config,
                             bool is_to_read)
{
    const char *store = config->store;
    const char *fault = NULL;

    *place = (struct store_place){.source.ctx = place};
    if (!store[0])
        use_sqlite(place, config->data, is_to_read);
    else if (strncmp(store, SQLITE_SCHEME, strlen(SQLITE_SCHEME)) == 0 &&
             store[strlen(SQLITE_SCHEME)])
        use_sqlite(place, store + strlen(SQLITE_SCHEME), is_to_read);
    else if (postgres_url_is(store))
        fault = use_postgres(place, store, is_to_read);
    else
        fault = "it is neither sqlite:DIRECTORY nor postgresql://…";
    place->source.name = place->name;
    return fault;
}

void store_place_done(struct store_place *place)
{
    free(place->name);
    free(place->where);
    *place = (struct store_place){0};
}
