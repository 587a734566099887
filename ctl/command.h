/* The commands of concordctl: one table is parser, help and dispatch. */
#pragma once

#include <stdio.h>

/* Runs the command that `argv` (without the program's name) begins with. Returns an exit status:
 * 0, 1 for a failure, 2 for a wrong use; both are explained on stderr. */
int command_run(int argc, char **argv);
void command_print_help(FILE *out);
