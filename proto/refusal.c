#include "proto/refusal.h"

#include <stddef.h>

static const struct refusal_info infos[] = {
#define R(code, NAME, name_, status, close, retry, text_)                                          \
    [code] = {.name = name_,                                                                       \
              .text = text_,                                                                       \
              .http_status = status,                                                               \
              .close_code = close,                                                                 \
              .is_retryable = retry},
    REFUSALS(R)
#undef R
};

const struct refusal_info *refusal_info(uint32_t code)
{
    if (code < sizeof(infos) / sizeof(infos[0]) && infos[code].name != NULL)
        return &infos[code];
    return &infos[REFUSAL_UNAVAILABLE];
}
