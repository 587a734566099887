/* What somebody may do with a room. The values ascend: each includes those before it. */
#pragma once

#include "common/memory.h"
#include "common/slice.h"

#define TOKEN_MAX 8192u /* bytes of a token that tells (gateway/token.h) */

enum access {
    ACCESS_NONE,
    ACCESS_READ,  /* the document and who is there */
    ACCESS_WRITE, /* and edit it */
    ACCESS_ADMIN, /* and change who may */
};

/* "none", "read", "write" or "admin". */
const char *access_name(enum access access);
/* -EINVAL: there is no such name. */
WARN_UNUSED int access_parse(struct slice name, enum access *ret_access);
