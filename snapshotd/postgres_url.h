/*
 * postgres_url: what is looked at in a PostgreSQL URL before libpq gets it. libpq reports a URL
 * that it cannot read by quoting it, and takes a password with an unencoded '@' or '/' in it for a
 * part of the server's name, which it reports too: so such a URL is never given to it.
 */
#pragma once

#include "common/memory.h"

#include <stdbool.h>

/* Has it the scheme of a PostgreSQL URL? */
bool postgres_url_is(const char *text);

/* What is wrong with it, for the log; NULL: nothing. */
const char *postgres_url_fault(const char *url);

/* "PostgreSQL at host:port/database", without user and password: newly allocated. Of a URL without
 * a fault. */
char *postgres_url_name(const char *url);
