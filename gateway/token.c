#include "gateway/token.h"

struct principal *principal_new_anonymous(void)
{
    struct principal *p = xcalloc(1, sizeof(*p));

    p->refs = 1;
    p->tenant = xstrdup("default");
    p->subject = xstrdup("");
    p->everywhere = ACCESS_WRITE;
    return p;
}

struct principal *principal_ref(struct principal *p)
{
    p->refs++;
    return p;
}

void principal_unref(struct principal *p)
{
    if (!p || --p->refs > 0)
        return;
    free(p->tenant);
    free(p->subject);
    free(p);
}

enum access principal_access(const struct principal *p, struct slice room)
{
    (void)room;
    return p->everywhere;
}
