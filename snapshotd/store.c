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
