/* token: who somebody is, and what they may do. */
#pragma once

#include "common/access.h"
#include "common/memory.h"
#include "common/slice.h"

#include <stdint.h>

struct principal {
    uint32_t refs;
    char *tenant;
    char *subject;
    uint64_t issued_s;
    uint64_t expires_s; /* 0: never */
    enum access everywhere;
};

/* Somebody without a token, where none is asked for. */
struct principal *principal_new_anonymous(void);
struct principal *principal_ref(struct principal *p);
void principal_unref(struct principal *p);
enum access principal_access(const struct principal *p, struct slice room);
