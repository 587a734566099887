/*
 * doc_key: the secret that document tokens (doc_token.h) are made and checked with. Without a
 * configured file the first gateway of a host makes one in the run directory, readable by this user
 * only, and the others of that host read it. It goes with the directory: clients get new tokens
 * then.
 */
#pragma once

#include "common/blob.h"
#include "common/memory.h"

struct config;

#define DOC_KEY_BYTES_MAX 1024u

/* The key; a new blob. On failure -errno, and what is wrong was logged. */
WARN_UNUSED int doc_key_load(const struct config *config, struct blob **ret);
