#include "snapshotd/store.h"

#include <errno.h>

static const struct {
    int error;
    const char *text;
} texts[] = {
    {EBADMSG, "the database is damaged, or it is no database"},
    {ENOSPC, "the disk is full"},
    {EBUSY, "another program holds the database"},
    {ESTALE, "another program writes to the database"},
    {ENOTSUP, "the database was written by a newer release"},
    {EACCES, "the database may not be read or written by this user"},
    {EINVAL, "the database cannot be used"},
    {ENOTCONN, "the database cannot be reached"},
    {ECONNRESET, "the connection to the database is gone"},
    {ETIMEDOUT, "the database does not answer"},
    {ECANCELED, "the database was closed"},
};

const char *store_strerror(int error)
{
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (texts[i].error == -error)
            return texts[i].text;
    }
    return strerror(-error);
}

bool store_error_is_passing(int error)
{
    return error == -ENOTCONN || error == -ECONNRESET || error == -ETIMEDOUT;
}

bool store_append_is_ascending(const struct store_append *room)
{
    uint64_t last = 0;

    for (size_t i = 0; i < room->count; i++) {
        uint64_t seq = room->updates[i].seq;
        if (seq <= last || seq > INT64_MAX)
            return false;
        last = seq;
    }
    return room->count > 0;
}
