/* What was taken away from users: kept for the host, told to every gateway, also to those that come
 * later. A gateway tells what it knows when it comes, so a new supervisor learns it from them. */
#include "roomd/supervisor_internal.h"

#include <errno.h>

#define HOUR_S 3600u

void access_start(struct supervisor *s)
{
    s->caps = access_caps_new((uint64_t)s->config->revocation_hours * HOUR_S);
}

void access_stop(struct supervisor *s)
{
    access_caps_free(s->caps);
}

static void tell(void *ctx, const struct access_cap *cap)
{
    struct gateway *gateway = ctx;
    struct msg_access_cap m = {.tenant = cap->tenant,
                               .room = cap->room,
                               .user = cap->user,
                               .access = cap->access,
                               .issued_s = cap->issued_s};

    ipc_send_new(gateway->ipc, proto_encode_access_cap(&m));
}

void access_tell_all(struct gateway *gateway)
{
    access_caps_expire(gateway->supervisor->caps, wall_now_ms() / 1000);
    access_caps_each(gateway->supervisor->caps, tell, gateway);
}

int access_handle_cap(struct gateway *from, const struct msg_access_cap *m)
{
    struct supervisor *s = from->supervisor;
    struct access_cap cap = {.tenant = m->tenant,
                             .room = m->room,
                             .user = m->user,
                             .access = (enum access)m->access,
                             .issued_s = m->issued_s};
    struct gateway *gateway;

    if (m->access > ACCESS_ADMIN)
        return -EBADMSG;
    access_caps_expire(s->caps, wall_now_ms() / 1000);
    int r = access_caps_add(s->caps, &cap);
    if (r < 0)
        log_error("there are too many revocations: one does not outlive its gateway");
    if (r == 0) /* known: everybody was told */
        return 0;
    TAILQ_FOREACH (gateway, &s->gateways, gateways)
        tell(gateway, &cap);
    return 0;
}
