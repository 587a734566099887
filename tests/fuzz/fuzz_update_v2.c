#include "fuzz_update.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_update(CRDT_V2, data, size);
    return 0;
}
