/*
 * An allocator that runs out on command. A test links failing_malloc.c with the linker's --wrap for
 * malloc, calloc, realloc and reallocarray, and the functions here take their place in everything
 * that is linked in.
 */
#pragma once

/* So many allocations succeed from now on and all later ones fail; -1: no bound. */
extern long allocations_left;
