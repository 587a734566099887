/* The store that a test is linked with: one file for each implementation. */
#pragma once

#include "common/loop.h"
#include "snapshotd/store.h"

/* Opens the store that belongs to `dir`, a directory of this test, as a store_source opens it. */
WARN_UNUSED int store_under_test_open(const char *dir, struct loop *loop,
                                      const struct store_owner *owner, struct store **ret_store);
