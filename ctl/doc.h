/* `concordctl doc`: documents in files of Yjs updates, without any server. */
#pragma once

#include <stdio.h>

/* Runs what `argv` says, the word `doc` left out. An exit status: 0, 1 for a failure, 2 for a wrong
 * use; both are explained on stderr. What it gives is given as a whole, or not at all. */
int doc_run(int argc, char **argv);
void doc_print_help(FILE *out);
