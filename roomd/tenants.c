#include "roomd/tenants.h"

#include "common/hash_table.h"
#include "common/rate.h"

#include <errno.h>

struct tenant {
    uint32_t rooms;
    struct rate starts;
    UT_hash_handle hh;
    uint8_t name[];
};

static struct tenant *find(const struct tenants *t, struct slice name)
{
    struct tenant *tenant;

    HASH_FIND(hh, t->by_name, name.data, name.len, tenant);
    return tenant;
}

static struct tenant *find_or_add(struct tenants *t, struct slice name)
{
    struct tenant *tenant = find(t, name);

    if (tenant)
        return tenant;
    tenant = xcalloc(1, sizeof(*tenant) + name.len);
    memcpy(tenant->name, name.data, name.len);
    HASH_ADD_KEYPTR(hh, t->by_name, tenant->name, name.len, tenant);
    return tenant;
}

static void drop(struct tenants *t, struct tenant *tenant)
{
    HASH_DEL(t->by_name, tenant);
    free(tenant);
}

void tenants_done(struct tenants *t)
{
    struct tenant *tenant, *next;

    HASH_ITER (hh, t->by_name, tenant, next)
        drop(t, tenant);
}

int tenants_admit(struct tenants *t, struct slice name, uint64_t now_us)
{
    struct tenant *tenant = find_or_add(t, name);

    if (t->limits->rooms_tenant > 0 && tenant->rooms >= t->limits->rooms_tenant)
        return -EDQUOT;
    if (rate_owed(&tenant->starts, now_us) > TENANT_WAIT_MS * UINT64_C(1000))
        return -EAGAIN;
    return (int)(rate_take(&tenant->starts, t->limits->room_starts_per_s, 1, now_us) / 1000);
}

struct tenant *tenants_enter(struct tenants *t, struct slice name)
{
    struct tenant *tenant = find_or_add(t, name);

    tenant->rooms++;
    return tenant;
}

/* One that has started much of late is remembered until its next room ends. */
void tenants_leave(struct tenants *t, struct tenant *tenant, uint64_t now_us)
{
    if (--tenant->rooms == 0 && rate_is_full(&tenant->starts, now_us))
        drop(t, tenant);
}
