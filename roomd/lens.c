#include "roomd/lens.h"

static const struct lens_type *const types[LENS_COUNT] = {
    [LENS_OPS] = &lens_ops,
};

const struct lens_type *lens_type(uint32_t lens)
{
    return lens < LENS_COUNT ? types[lens] : NULL;
}
