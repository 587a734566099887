/* `concordctl doctor`: examines rooms and what is stored of them, and repairs rooms that no process
 * runs. */
#pragma once

#include "ctl/arguments.h"

/* Runs what `argv` says, the word `doctor` left out; `settings` are those in front of it. An exit
 * status: 0 healthy, 1 something was found, 2 it could not be looked at, or the use was wrong. */
int doctor_run(struct arguments *settings, int argc, char **argv);
void doctor_print_help(FILE *out);
