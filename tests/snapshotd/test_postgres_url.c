#include "snapshotd/postgres_url.h"

#include <criterion/criterion.h>
#include <string.h>

Test(postgres_url, names_the_server_and_nothing_secret)
{
    static const struct {
        const char *url;
        const char *name;
    } cases[] = {
        {"postgresql://ann:pw@db.example:5433/notes", "PostgreSQL at db.example:5433/notes"},
        {"postgres://db.example", "PostgreSQL at db.example/"},
        {"postgresql:///notes", "PostgreSQL at this host/notes"},
        {"postgresql://ann:p%40w%2F@[::1]/notes?sslmode=require", "PostgreSQL at ::1/notes"},
        {"postgresql://db/notes?user=ann&password=pw", "PostgreSQL at db/notes"},
        {"postgresql://a,b:2/notes", "PostgreSQL at a,b:,2/notes"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cr_assert(postgres_url_is(cases[i].url));
        cr_assert_null(postgres_url_fault(cases[i].url), "%s", cases[i].url);
        char *name CLEANUP_FREE = postgres_url_name(cases[i].url);
        cr_assert_str_eq(name, cases[i].name);
    }
}

/* Of each of these libpq would print a part of the password. */
Test(postgres_url, what_libpq_would_misread_is_refused_without_quoting_it)
{
    static const char *const urls[] = {
        "postgresql://ann:se@cret@db/notes", "postgresql://ann:se/cret@db/notes",
        "postgresql://ann:se%cret@db/notes", "postgresql://ann:secret@db/notes?cret",
        "postgresql://ann:secret@[db/notes", "postgresql://ann:secret@db/notes?nosuch=1",
    };

    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        const char *fault = postgres_url_fault(urls[i]);
        cr_assert_not_null(fault, "%s", urls[i]);
        cr_assert_null(strstr(fault, "cret"), "%s", urls[i]);
    }
    cr_assert_not(postgres_url_is("mysql://x"));
    cr_assert_not(postgres_url_is("postgresql:/x"));
    cr_assert_not_null(postgres_url_fault("host=db password=secret"));
}
