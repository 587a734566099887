#include "common/access.h"

#include <errno.h>

static const char *const names[] = {
    [ACCESS_NONE] = "none",
    [ACCESS_READ] = "read",
    [ACCESS_WRITE] = "write",
    [ACCESS_ADMIN] = "admin",
};

const char *access_name(enum access access)
{
    return names[access];
}

int access_parse(struct slice name, enum access *ret_access)
{
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (slice_equal(name, slice_str(names[i]))) {
            *ret_access = (enum access)i;
            return 0;
        }
    }
    return -EINVAL;
}
