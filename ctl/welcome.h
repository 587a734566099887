/* What `concord` prints when it serves: one line for programs, then snippets to paste. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

void welcome_print(FILE *out, const char *host, uint32_t port, bool has_tls);
