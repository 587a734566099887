/*
 * boot: lets a test run in another boot than the machine is in, after one that never was. Programs
 * that link it get what they ask boot_id_read() for from here.
 */
#pragma once

#include "common/boot_id.h"

/* From now on boot_id_read() gives this one. NULL: the real one. */
void boot_pretend(const struct boot_id *id);
