#include "ctl/arguments.h"

#include <errno.h>
#include <string.h>

static void append(char ***list, int *count, char *text)
{
    *list = xrealloc(*list, ((size_t)*count + 1) * sizeof(**list));
    (*list)[(*count)++] = text;
}

static void append_value(struct option_list *list, const char *value)
{
    list->values = xrealloc(list->values, (list->count + 1) * sizeof(*list->values));
    list->values[list->count++] = value;
}

/* `argument` up to its `=` is `name`. */
static bool is_named(const char *argument, const char *name)
{
    size_t len = strlen(name);

    return strncmp(argument, name, len) == 0 && (argument[len] == '\0' || argument[len] == '=');
}

static const struct option *find_option(const struct option_table *table, const char *argument)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct option *o = &table->options[i];
        if (is_named(argument, o->name) || (o->letter && strcmp(argument, o->letter) == 0))
            return o;
    }
    return NULL;
}

/* Sets one option; the number of arguments that it took, or -EINVAL. */
static int set_option(const struct option *option, void *values, int argc, char **argv)
{
    const char *equals = argv[0][1] == '-' ? strchr(argv[0], '=') : NULL;
    void *field = (char *)values + option->offset;

    if (!option->value && !equals) {
        *(bool *)field = true;
        return 1;
    }
    if (!option->value) {
        (void)fprintf(stderr, "concordctl: %s takes no value\n", option->name);
        return -EINVAL;
    }
    if (!equals && argc < 2) {
        (void)fprintf(stderr, "concordctl: %s needs a value: %s\n", argv[0], option->value);
        return -EINVAL;
    }
    const char *value = equals ? equals + 1 : argv[1];
    if (option->is_list)
        append_value(field, value);
    else
        *(const char **)field = value;
    return equals ? 1 : 2;
}

/* A setting and its value. */
static int take_setting(struct arguments *a, int argc, char **argv)
{
    bool is_pair = !strchr(argv[0], '=') && argc > 1;

    append(&a->settings, &a->setting_count, argv[0]);
    if (is_pair)
        append(&a->settings, &a->setting_count, argv[1]);
    return is_pair ? 2 : 1;
}

static int take_option(struct arguments *a, const struct option_table *table, unsigned scope,
                       void *values, int argc, char **argv)
{
    const struct option *option = find_option(table, argv[0]);

    if (option && option->scope & scope)
        return set_option(option, values, argc, argv);
    if (strcmp(argv[0], "--help") == 0) {
        a->wants_help = true;
        return 1;
    }
    if (!option && table->takes_settings && argv[0][1] == '-')
        return take_setting(a, argc, argv);
    (void)fprintf(stderr, "concordctl: there is no option '%s'%s\n", argv[0],
                  option ? " here" : "");
    return -EINVAL;
}

int arguments_parse(struct arguments *a, const struct option_table *table, unsigned scope,
                    void *values, int argc, char **argv)
{
    bool has_ended = false;

    for (int i = 0; i < argc;) {
        if (has_ended || argv[i][0] != '-' || argv[i][1] == '\0') {
            append(&a->names, &a->name_count, argv[i++]);
        } else if (strcmp(argv[i], "--") == 0) {
            has_ended = true;
            i++;
        } else {
            int n = take_option(a, table, scope, values, argc - i, argv + i);
            if (n < 0)
                return n;
            i += n;
        }
    }
    return 0;
}

void arguments_done(struct arguments *a)
{
    free(a->names);
    free(a->settings);
    *a = (struct arguments){0};
}

void arguments_print_options(const struct option_table *table, FILE *out)
{
    for (size_t i = 0; i < table->count; i++) {
        const struct option *o = &table->options[i];
        char *text CLEANUP_FREE =
            xasprintf("%s%s%s%s%s", o->letter ? o->letter : "", o->letter ? ", " : "", o->name,
                      o->value ? " " : "", o->value ? o->value : "");
        (void)fprintf(out, "  %-22s %s\n", text, o->help);
    }
}
