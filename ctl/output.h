/* What a command gives: on stdout, or in a file that is there as a whole or as it was before. */
#pragma once

#include "common/memory.h"
#include "common/slice.h"

/* Writes `data` to `path`; NULL or `-` means stdout. A file is written under another name beside
 * it, synced and renamed; what is no regular file (a pipe, a device) is written into. 0 or -errno.
 */
WARN_UNUSED int output_write(const char *path, struct slice data);
