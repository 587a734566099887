/* `concordctl token`: tokens, and keys to make and to check them with; without any server. */
#pragma once

#include <stdio.h>

/* Runs what `argv` says, the word `token` left out. An exit status: 0, 1 for a failure, 2 for a
 * wrong use; both are explained on stderr. */
int token_run(int argc, char **argv);
void token_print_help(FILE *out);
