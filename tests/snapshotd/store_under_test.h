/* The store that test_store.c is linked with: one file for each implementation. */
#pragma once

#include "snapshotd/store.h"

/* Opens the store that belongs to `dir`, a directory of this test. */
WARN_UNUSED int store_under_test_open(const char *dir, struct store **ret_store);
/* Waits for what may complete an operation. */
void store_under_test_turn(struct store *store);
