/* For processes that are told a password. */
#pragma once

/* Keeps other processes of the same user, rooms above all, from looking into the memory and the
 * environment of this one. */
void secret_hide_process(void);
