#include "tests/snapshotd/store_under_test.h"

#include "snapshotd/store_sqlite.h"

int store_under_test_open(const char *dir, struct store **ret_store)
{
    return store_sqlite_open(dir, ret_store);
}

void store_under_test_turn(struct store *store)
{
    (void)store; /* every operation is complete when it returns */
}
