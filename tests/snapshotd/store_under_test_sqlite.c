#include "tests/snapshotd/store_under_test.h"

#include "snapshotd/store_sqlite.h"

int store_under_test_open(const char *dir, struct loop *loop, const struct store_owner *owner,
                          struct store **ret_store)
{
    (void)loop;
    (void)owner;
    return store_sqlite_open(dir, ret_store);
}
