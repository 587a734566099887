#include "snapshotd/postgres_url.h"

#include <libpq-fe.h>
#include <string.h>

static const char *const schemes[] = {"postgresql://", "postgres://"};

/* What follows the scheme, or NULL. */
static const char *behind_scheme(const char *text)
{
    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        size_t len = strlen(schemes[i]);
        if (strncmp(text, schemes[i], len) == 0)
            return text + len;
    }
    return NULL;
}

bool postgres_url_is(const char *text)
{
    return behind_scheme(text) != NULL;
}

const char *postgres_url_fault(const char *url)
{
    const char *rest = behind_scheme(url);

    if (!rest)
        return "it does not begin with postgresql://";
    const char *at = strchr(rest, '@');
    const char *slash = strchr(rest, '/');
    if (at && ((slash && slash < at) || strchr(at + 1, '@')))
        return "it has a '/' before an '@', or a second '@': in names and passwords they are "
               "written %2F and %40";
    PQconninfoOption *options = PQconninfoParse(url, NULL);
    if (!options)
        return "it cannot be read; in names and passwords '%' is written %25";
    PQconninfoFree(options);
    return NULL;
}

static const char *value_of(const PQconninfoOption *options, const char *keyword)
{
    for (; options->keyword; options++) {
        if (strcmp(options->keyword, keyword) == 0)
            return options->val && options->val[0] ? options->val : NULL;
    }
    return NULL;
}

char *postgres_url_name(const char *url)
{
    PQconninfoOption *options = PQconninfoParse(url, NULL);

    if (!options)
        return xstrdup("PostgreSQL");
    const char *host = value_of(options, "host");
    const char *port = value_of(options, "port");
    const char *database = value_of(options, "dbname");
    char *name = xasprintf("PostgreSQL at %s%s%s/%s", host ? host : "this host", port ? ":" : "",
                           port ? port : "", database ? database : "");
    PQconninfoFree(options);
    return name;
}
