/* Which server a command is about: the one whose settings are given. */
#pragma once

#include "common/config.h"

/* Reads the settings. 0 and `config` (for config_done()), or -errno after a message: a data
 * directory that is not there is not made, it means that another one was meant. */
WARN_UNUSED int server_find(char **settings, int count, struct config *config);
