#include "planted.h"

#include "crdt/crdt.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES ((size_t)16 << 20)

int __real_crdt_doc_apply(struct crdt_doc *doc, enum crdt_format format, const uint8_t *update,
                          size_t len, struct crdt_applied *ret_applied);
int __wrap_crdt_doc_apply(struct crdt_doc *doc, enum crdt_format format, const uint8_t *update,
                          size_t len, struct crdt_applied *ret_applied);

/* As without a sanitizer, which would report it: the process is gone, and nothing is said. */
static void crash(void)
{
    (void)signal(SIGSEGV, SIG_DFL);
    (void)raise(SIGSEGV);
}

static bool holds(const uint8_t *update, size_t len, const char *word)
{
    return memmem(update, len, word, strlen(word));
}

/* Without end: the compiler must not see that nothing comes of it. */
static void loop(void)
{
    volatile bool is_going = true;

    while (is_going)
        ;
}

static void eat_memory(void)
{
    char *block;

    while ((block = malloc(BLOCK_BYTES)))
        memset(block, 1, BLOCK_BYTES);
    abort();
}

int __wrap_crdt_doc_apply(struct crdt_doc *doc, enum crdt_format format, const uint8_t *update,
                          size_t len, struct crdt_applied *ret_applied)
{
    if (holds(update, len, PLANTED_CRASH))
        crash();
    if (holds(update, len, PLANTED_FOLD) &&
        strcmp(program_invocation_short_name, "concord-snapshotd") == 0)
        crash();
    if (holds(update, len, PLANTED_LOOP))
        loop();
    if (holds(update, len, PLANTED_MEMORY))
        eat_memory();
    return __real_crdt_doc_apply(doc, format, update, len, ret_applied);
}
