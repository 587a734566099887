/* Command lines: options by a table, which is also what the help prints. */
#pragma once

#include "common/memory.h"

#include <stdbool.h>
#include <stdio.h>

struct option {
    const char *name;   /* with its dashes */
    const char *letter; /* its short form, or NULL */
    const char *value;  /* what the help calls its value; NULL: it has none */
    size_t offset;      /* of a bool, or of a const char *, in the values */
    unsigned scope;     /* bits: the forms of the command that take it */
    const char *help;
    bool is_list; /* may be given again: `offset` is that of a struct option_list */
};

struct option_list {
    const char **values; /* the array is the caller's to free */
    size_t count;
};

struct option_table {
    const struct option *options;
    size_t count;
    bool takes_settings; /* other options are settings of a server */
};

/* A command line, taken apart; the strings are borrowed from it. */
struct arguments {
    char **names; /* what is no option; `-` is none */
    int name_count;
    char **settings; /* as config_parse() takes them */
    int setting_count;
    bool wants_help;
};

/* Appends what `argv` holds to `a` (zero, or parsed before), and sets `values` to what the options
 * in `scope` say. 0, or -EINVAL after a message. */
WARN_UNUSED int arguments_parse(struct arguments *a, const struct option_table *table,
                                unsigned scope, void *values, int argc, char **argv);
void arguments_done(struct arguments *a);

/* A line an option. */
void arguments_print_options(const struct option_table *table, FILE *out);
