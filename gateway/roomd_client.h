/*
 * roomd_client: this gateway's connection to roomd, which hands out rooms. It is made again for
 * ever, with a growing pause, and its owner asks anew for what was not answered. What roomd sends
 * is our own: a message that makes no sense ends the process.
 */
#pragma once

#include "common/access_caps.h"
#include "common/loop.h"
#include "common/slice.h"

struct roomd_client;

struct roomd_handler {
    /* The connection stands; nothing has been asked on it. */
    void (*on_up)(void *ctx);
    /* A room; the handler owns `fd`, one end of a link to it. */
    void (*on_opened)(void *ctx, uint32_t request, int fd);
    void (*on_refused)(void *ctx, uint32_t request, uint32_t refusal);
    /* What a user may still do in a room; borrowed. */
    void (*on_access_cap)(void *ctx, const struct access_cap *cap);
};

/* Starts to connect to `path` at once; callbacks come from the loop. */
struct roomd_client *roomd_client_new(struct loop *loop, const char *path,
                                      const struct roomd_handler *handler, void *ctx);
void roomd_client_free(struct roomd_client *r);

bool roomd_client_is_up(const struct roomd_client *r);
/* Asks for a room; without a connection the question is dropped, on_up is the time to ask again. */
void roomd_client_open(struct roomd_client *r, uint32_t request, struct slice tenant,
                       struct slice room);
/* Tells every gateway; without a connection, on_up is the time to tell. */
void roomd_client_cap(struct roomd_client *r, const struct access_cap *cap);
