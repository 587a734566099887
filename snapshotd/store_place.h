/* Which store the configuration names, and how it is opened. */
#pragma once

#include "common/config.h"
#include "snapshotd/store.h"

struct store_place {
    struct store_source source; /* what it is for */
    char *name;
    char *where; /* directory or URL */
};

/* Reads `store` of the configuration: `sqlite:DIR`, a PostgreSQL URL, or nothing, which stands for
 * SQLite in `data`. What is wrong with it is returned, for the log and without secrets; NULL:
 * nothing. `is_to_read`: what is there is opened and not changed (see store_sqlite_open_to_read()).
 * The place must not move until store_place_done(). */
const char *store_place_init(struct store_place *place, const struct config *config,
                             bool is_to_read);
void store_place_done(struct store_place *place);
