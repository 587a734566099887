/*
 * drain: how a gateway takes leave of its clients. Each WebSocket is closed with 1012 (service
 * restart) at a random moment of a span of time, so that not all come back at once, and is told
 * after how long a random while to do so. Requests that are under way are answered.
 */
#pragma once

#include "common/loop.h"

struct conns;
struct drain;

#define DRAIN_HTTP_MS      1000u /* for a request to come whole, unless WebSockets have less */
#define DRAIN_ADVICE_MS    200u  /* a client comes back no sooner, */
#define DRAIN_ADVICE_MAX   3000u /* and no later */
#define DRAIN_REASON_BYTES 64u

/* Begins: WebSockets end within `spread_ms`, at once if that is 0; those that open meanwhile, too.
 * `conns` is borrowed. */
struct drain *drain_new(struct loop *loop, struct conns *conns, uint32_t spread_ms);
/* NULL is allowed. */
void drain_free(struct drain *d);
