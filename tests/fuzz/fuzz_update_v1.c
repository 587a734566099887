#include "fuzz_update.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_update(CRDT_V1, data, size);
    return 0;
}
