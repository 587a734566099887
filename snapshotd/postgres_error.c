#include "snapshotd/postgres_error.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

/* The first that SQLSTATE begins with. */
static const struct {
    const char *state;
    int error;
} errors[] = {
    {POSTGRES_STALE, -ESTALE},
    {"08", -ECONNRESET},   /* connection exception */
    {"25006", -EACCES},    /* read-only transaction */
    {"28", -EACCES},       /* invalid authorization */
    {"40", -EBUSY},        /* deadlock, serialization */
    {"42501", -EACCES},    /* insufficient privilege */
    {"53100", -ENOSPC},    /* disk full */
    {"53200", -ENOMEM},    /* out of memory */
    {"53", -EBUSY},        /* insufficient resources */
    {"55", -EBUSY},        /* lock not available, object in use */
    {"57014", -ETIMEDOUT}, /* canceled: statement timeout */
    {"57", -ECONNRESET},   /* shutdown, crash of another backend */
    {"58", -EIO},          /* system error */
    {"XX001", -EBADMSG},   /* data corrupted */
    {"XX002", -EBADMSG},   /* index corrupted */
    {"XX", -EIO},          /* internal */
    {"0A", -EINVAL},       /* feature not supported */
    {"22", -EINVAL},       /* data exception */
    {"3F", -EINVAL},       /* no such schema */
    {"42", -EINVAL},       /* something of that name is there already, or not */
};

int postgres_result_error(const PGresult *res)
{
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);

    if (!state) /* made by libpq: the connection is gone, or there is no memory */
        return -ECONNRESET;
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        if (strncmp(state, errors[i].state, strlen(errors[i].state)) == 0)
            return errors[i].error;
    }
    return -EIO;
}

/* Lines become sentences; what is no printable ASCII becomes '?'. */
static void put_line(const char *text, char ret_text[POSTGRES_DETAIL_MAX + 1])
{
    size_t len = 0;
    bool is_gap = false;

    for (; *text && len + 3 < POSTGRES_DETAIL_MAX; text++) {
        if (*text == '\n' || *text == '\t' || *text == ' ') {
            is_gap = len > 0;
            continue;
        }
        if (is_gap)
            ret_text[len++] = ' ';
        is_gap = false;
        ret_text[len++] = *text > ' ' && *text < 0x7f ? *text : '?';
    }
    ret_text[len] = '\0';
}

void postgres_describe_result(const PGresult *res, char ret_text[POSTGRES_DETAIL_MAX + 1])
{
    const char *state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
    char *text CLEANUP_FREE =
        xasprintf("%s%s%s", state ? state : "", state ? ": " : "", message ? message : "");

    put_line(text, ret_text);
}

void postgres_describe_connection(const PGconn *conn, char ret_text[POSTGRES_DETAIL_MAX + 1])
{
    put_line(PQerrorMessage(conn), ret_text);
}
