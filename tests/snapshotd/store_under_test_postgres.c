#include "tests/snapshotd/store_under_test.h"

#include "snapshotd/store_postgres.h"
#include "tests/snapshotd/postgres_helpers.h"

#include <errno.h>
#include <string.h>

int store_under_test_open(const char *dir, struct loop *loop, const struct store_owner *owner,
                          struct store **ret_store)
{
    /* Borrowed by stores until they are closed: of one directory at a time. */
    static char url[1024];
    char *made CLEANUP_FREE = postgres_test_url(dir);

    if (strlen(made) >= sizeof(url))
        return -ENAMETOOLONG;
    (void)strcpy(url, made);
    *ret_store = store_postgres_open(loop, url, STORE_POSTGRES_SILENCE_MS, owner);
    return -EINPROGRESS;
}
