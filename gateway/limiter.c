#include "gateway/limiter.h"

#include "common/hash_table.h"
#include "common/metrics.h"
#include "gateway/census.h"

#include <assert.h>

/* Those of one kind with one key. */
struct seat {
    uint32_t count;
    uint64_t census_key;
    UT_hash_handle hh;
    uint8_t key[];
};

struct limiter {
    uint32_t limits[SEAT_KINDS]; /* 0: no bound */
    struct seat *seats[SEAT_KINDS];
    struct census *census; /* or NULL */
};

static const enum metric metrics[] = {
    [SEAT_ANY] = METRIC_LIMITED_CONNECTIONS,
    [SEAT_HANDSHAKE] = METRIC_LIMITED_HANDSHAKES_ADDRESS,
    [SEAT_ADDRESS] = METRIC_LIMITED_CONNECTIONS_ADDRESS,
    [SEAT_TENANT] = METRIC_LIMITED_CONNECTIONS_TENANT,
    [SEAT_USER] = METRIC_LIMITED_CONNECTIONS_USER,
};

struct limiter *limiter_new(const struct client_limits *limits, struct census *census)
{
    struct limiter *l = xcalloc(1, sizeof(*l));

    l->census = census;
    l->limits[SEAT_ANY] = limits->connections;
    l->limits[SEAT_HANDSHAKE] = limits->handshakes_address;
    l->limits[SEAT_ADDRESS] = limits->connections_address;
    l->limits[SEAT_TENANT] = limits->connections_tenant;
    l->limits[SEAT_USER] = limits->connections_user;
    return l;
}

void limiter_free(struct limiter *l)
{
    for (size_t i = 0; l && i < SEAT_KINDS; i++)
        assert(!l->seats[i]);
    free(l);
}

static void set_count(struct limiter *l, struct seat *seat, uint32_t count)
{
    seat->count = count;
    if (l->census)
        census_set(l->census, seat->census_key, count);
}

bool limiter_take(struct limiter *l, struct seats *seats, enum seat_kind kind, struct slice key)
{
    struct seat *seat;

    if (seats->taken[kind] || l->limits[kind] == 0)
        return true;
    HASH_FIND(hh, l->seats[kind], key.data, key.len, seat);
    uint64_t number = seat ? seat->census_key : census_key((uint8_t)kind, key);
    uint32_t others = l->census ? census_others(l->census, number) : 0;
    if ((uint64_t)others + (seat ? seat->count : 0) >= l->limits[kind]) {
        metric_add(metrics[kind], 1);
        return false;
    }
    if (!seat) {
        seat = xcalloc(1, sizeof(*seat) + key.len);
        seat->census_key = number;
        memcpy(seat->key, key.data, key.len);
        HASH_ADD_KEYPTR(hh, l->seats[kind], seat->key, key.len, seat);
    }
    set_count(l, seat, seat->count + 1);
    seats->taken[kind] = seat;
    return true;
}

void limiter_give(struct limiter *l, struct seats *seats, enum seat_kind kind)
{
    struct seat *seat = TAKE_PTR(seats->taken[kind]);

    if (!seat)
        return;
    set_count(l, seat, seat->count - 1);
    if (seat->count > 0)
        return;
    HASH_DEL(l->seats[kind], seat);
    free(seat);
}

void limiter_give_all(struct limiter *l, struct seats *seats)
{
    for (unsigned kind = 0; kind < SEAT_KINDS; kind++)
        limiter_give(l, seats, kind);
}
