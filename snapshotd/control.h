/* The socket on which roomd hands over the rooms to follow. What makes no sense there ends the
 * process: it comes from one of our own. */
#pragma once

#include "common/config.h"
#include "common/loop.h"
#include "snapshotd/persist.h"

struct control;

/* Listens for the process's life. 0 or -errno. `persist` is borrowed. */
WARN_UNUSED int control_new(struct loop *loop, const struct config *config, struct persist *persist,
                            struct control **ret_control);
/* When the loop has ended: drops the connections. */
void control_free(struct control *control);
