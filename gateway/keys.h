/*
 * The keys that tokens are checked with, read from the file of the setting `keys`. A process that
 * has them knows secrets: it calls secret_hide_process() (common/secret.h) before it loads any.
 * Keys change by loading the file again; what was verified with the old ones stays verified.
 */
#pragma once

#include "common/jwk.h"

struct keys;

/* 0 and new keys. -EINVAL: the content is not what common/jwk.h takes; or the -errno of reading.
 * Logs which file and what is wrong with it, never what is in it; also a warning if it holds
 * secrets and everybody on this host may read it. */
WARN_UNUSED int keys_load(const char *path, struct keys **ret);
/* `keys` may be NULL. */
void keys_free(struct keys *keys);

size_t keys_count(const struct keys *keys);
/* The key that a token names, borrowed; without a name (data is NULL) the only key. NULL if there
 * is no such key. */
const struct jwk *keys_find(const struct keys *keys, struct slice kid);
