/* lens: how a client that holds no CRDT sees a room's document. Numbers travel between processes
 * and are append-only. */
#pragma once

enum lens {
    LENS_NONE = 0, /* it gets updates */
    LENS_OPS = 1,  /* operations on the root text `body` */
};
