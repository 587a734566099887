#include "roomd/supervisor_internal.h"

#include <errno.h>
#include <event2/event.h>

#define PARKED_MS 10000u

/* A connection carries few descriptors that are not yet sent (ipc.h). Frames that announce one take
 * at least 7 bytes, so a queue below this is well within that. */
#define QUEUE_MAX 320u

static void send_refused(struct gateway *gateway, uint32_t request, uint32_t refusal)
{
    struct msg_room_refused m = {.request = request, .refusal = refusal};

    ipc_send_new(gateway->ipc, proto_encode_room_refused(&m));
}

/* A long queue gets shorter when the peer reads, and a room that is open may end, or have ended
 * just now: then the next one is waited for. */
static bool is_linkable(const struct slot *slot, const struct gateway *gateway)
{
    return slot->state == SLOT_OPEN && slot->control && ipc_has_peer(slot->control) &&
           ipc_queued_bytes(slot->control) <= QUEUE_MAX &&
           ipc_queued_bytes(gateway->ipc) <= QUEUE_MAX;
}

static void send_link(struct slot *slot, struct gateway *gateway, uint32_t request)
{
    struct msg_room_link link = {.links = slot->links_sent + 1};
    struct msg_room_opened opened = {.request = request};
    int fds[2];

    if (ipc_pair(fds) < 0) {
        send_refused(gateway, request, REFUSAL_UNAVAILABLE);
        return;
    }
    slot->links_sent++;
    ipc_send_fd(slot->control, proto_encode_room_link(&link), fds[0]);
    ipc_send_fd(gateway->ipc, proto_encode_room_opened(&opened), fds[1]);
    if (ipc_queued_bytes(gateway->ipc) > 0 && !gateway->is_paused) {
        gateway->is_paused = true;
        ipc_set_paused(gateway->ipc, true);
    }
}

/* ---- parked opens ---- */

static void drop(struct open *open)
{
    TAILQ_REMOVE(&open->slot->parked, open, of_slot);
    TAILQ_REMOVE(&open->gateway->supervisor->parked, open, of_all);
    free(open);
}

static void park(struct gateway *gateway, struct slot *slot, uint32_t request)
{
    struct supervisor *s = gateway->supervisor;
    struct open *open = xcalloc(1, sizeof(*open));

    *open = (struct open){.gateway = gateway,
                          .slot = slot,
                          .request = request,
                          .deadline_ms = mono_now_ms() + PARKED_MS};
    if (TAILQ_EMPTY(&s->parked))
        timer_arm(s->parked_timer, PARKED_MS);
    TAILQ_INSERT_TAIL(&slot->parked, open, of_slot);
    TAILQ_INSERT_TAIL(&s->parked, open, of_all);
    s->has_ungranted |= slot->state == SLOT_OPEN;
}

static void grant(struct open *open)
{
    if (!is_linkable(open->slot, open->gateway)) {
        open->gateway->supervisor->has_ungranted = true;
        return;
    }
    send_link(open->slot, open->gateway, open->request);
    drop(open);
}

void opens_grant(struct slot *slot)
{
    struct open *open = TAILQ_FIRST(&slot->parked);

    while (open) {
        struct open *next = TAILQ_NEXT(open, of_slot);
        grant(open);
        open = next;
    }
}

void opens_continue(struct supervisor *s)
{
    struct open *open = s->has_ungranted ? TAILQ_FIRST(&s->parked) : NULL;

    s->has_ungranted = false;
    while (open) {
        struct open *next = TAILQ_NEXT(open, of_all);
        if (open->slot->state == SLOT_OPEN)
            grant(open);
        open = next;
    }
}

void opens_refuse(struct slot *slot, uint32_t refusal)
{
    struct open *open;

    while ((open = TAILQ_FIRST(&slot->parked))) {
        send_refused(open->gateway, open->request, refusal);
        drop(open);
    }
}

void opens_on_timer(struct supervisor *s)
{
    uint64_t now_ms = mono_now_ms();
    struct open *open;

    while ((open = TAILQ_FIRST(&s->parked))) {
        if (open->deadline_ms > now_ms) {
            timer_arm(s->parked_timer, open->deadline_ms - now_ms);
            return;
        }
        send_refused(open->gateway, open->request, REFUSAL_UNAVAILABLE);
        drop(open);
    }
}

/* ---- gateways ---- */

static int handle_room_open(struct gateway *gateway, const struct msg_room_open *m)
{
    struct supervisor *s = gateway->supervisor;
    char hash[NAME_HASH_HEX + 1];
    uint32_t refusal = 0;

    if (s->is_stopping) {
        send_refused(gateway, m->request, REFUSAL_UNAVAILABLE);
        return 0;
    }
    if (!name_is_valid(m->tenant) || !name_is_valid(m->room)) {
        send_refused(gateway, m->request, REFUSAL_BAD_NAME);
        return 0;
    }
    name_hash(m->tenant, m->room, hash);
    struct slot *slot = slot_find(s, hash);
    if (!slot)
        refusal = slot_start(s, m->tenant, m->room, &slot);
    if (refusal)
        send_refused(gateway, m->request, refusal);
    else if (is_linkable(slot, gateway))
        send_link(slot, gateway, m->request);
    else
        park(gateway, slot, m->request);
    return 0;
}

PROTO_ROUTE_FN(room_open, struct gateway, handle_room_open)
PROTO_ROUTE_FN(access_cap, struct gateway, access_handle_cap)

static const struct proto_route routes[] = {
    PROTO_ROUTE(room_open, ROOM_OPEN),
    PROTO_ROUTE(access_cap, ACCESS_CAP),
};

static void on_frame(void *ctx, struct slice body)
{
    if (proto_dispatch(routes, sizeof(routes) / sizeof(routes[0]), ctx, body) < 0)
        log_panic("a gateway sent %s that makes no sense", proto_name(proto_code_of(body)));
}

static void on_end(void *ctx, int error)
{
    if (error == -EBADMSG)
        log_panic("a gateway sent what is no frame");
    gateway_free(ctx);
}

static const struct ipc_handler handler = {.on_frame = on_frame, .on_end = on_end};

void gateway_accept(void *ctx, int fd)
{
    struct supervisor *s = ctx;
    struct gateway *gateway = xcalloc(1, sizeof(*gateway));

    gateway->supervisor = s;
    TAILQ_INSERT_TAIL(&s->gateways, gateway, gateways);
    gateway->ipc = ipc_new(s->loop, fd, &handler, gateway);
    access_tell_all(gateway);
}

void gateway_free(struct gateway *gateway)
{
    struct supervisor *s = gateway->supervisor;
    struct open *open = TAILQ_FIRST(&s->parked);

    while (open) {
        struct open *next = TAILQ_NEXT(open, of_all);
        if (open->gateway == gateway)
            drop(open);
        open = next;
    }
    TAILQ_REMOVE(&s->gateways, gateway, gateways);
    ipc_close(gateway->ipc);
    loop_reap(s->loop, free, gateway);
}

void gateways_resume(struct supervisor *s)
{
    struct gateway *gateway;

    TAILQ_FOREACH (gateway, &s->gateways, gateways) {
        if (gateway->is_paused && ipc_queued_bytes(gateway->ipc) == 0) {
            gateway->is_paused = false;
            ipc_set_paused(gateway->ipc, false);
        }
    }
}
