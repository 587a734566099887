#include "edit.h"

#include <errno.h>

#include "crdt/lib0.h"

#define MAX_STEPS 16u

struct request {
    struct crdt_doc *doc;
    uint64_t client;
    struct crdt_path path;
    struct lib0_reader args;
    struct crdt_buf *out;
};

static uint64_t take_uint(struct request *r)
{
    return lib0_read_uint(&r->args);
}

/* What is not UTF-8 is a matter of the engine. */
static struct crdt_slice take_string(struct request *r)
{
    return lib0_read_slice(&r->args);
}

static int insert_text(struct request *r)
{
    uint64_t index = take_uint(r);
    struct crdt_slice text = take_string(r);

    return crdt_text_insert(r->doc, r->client, r->path, index, (const char *)text.data, text.len,
                            NULL, r->out);
}

static int insert_with_attributes(struct request *r)
{
    uint64_t index = take_uint(r);
    struct crdt_slice text = take_string(r), attributes = take_string(r);

    return crdt_text_insert(r->doc, r->client, r->path, index, (const char *)text.data, text.len,
                            &attributes, r->out);
}

static int delete_text(struct request *r)
{
    uint64_t index = take_uint(r);

    return crdt_text_delete(r->doc, r->path, index, take_uint(r), r->out);
}

static int format_text(struct request *r)
{
    uint64_t index = take_uint(r), len = take_uint(r);

    return crdt_text_format(r->doc, r->client, r->path, index, len, take_string(r), r->out);
}

static int become(struct request *r)
{
    struct crdt_slice text = take_string(r);

    return crdt_text_become(r->doc, r->client, r->path, (const char *)text.data, text.len, r->out);
}

static int set_key(struct request *r)
{
    struct crdt_slice key = take_string(r);

    return crdt_map_set(r->doc, r->client, r->path, key, take_string(r), r->out);
}

static int delete_key(struct request *r)
{
    return crdt_map_delete(r->doc, r->path, take_string(r), r->out);
}

static int insert_values(struct request *r)
{
    uint64_t index = take_uint(r);

    return crdt_array_insert(r->doc, r->client, r->path, index, take_string(r), r->out);
}

static int push_values(struct request *r)
{
    return crdt_array_push(r->doc, r->client, r->path, take_string(r), r->out);
}

static int delete_values(struct request *r)
{
    uint64_t index = take_uint(r);

    return crdt_array_delete(r->doc, r->path, index, take_uint(r), r->out);
}

static const struct {
    char letter;
    int (*run)(struct request *r);
} calls[] = {
    {'i', insert_text}, {'a', insert_with_attributes},
    {'d', delete_text}, {'f', format_text},
    {'b', become},      {'s', set_key},
    {'k', delete_key},  {'I', insert_values},
    {'P', push_values}, {'D', delete_values},
};

static size_t take_steps(struct request *r, struct crdt_step *steps)
{
    size_t count = take_uint(r);

    for (size_t i = 0; i < count && i < MAX_STEPS; i++) {
        bool has_key = lib0_read_u8(&r->args) == 1;

        if (has_key)
            steps[i].key = take_string(r);
        else
            steps[i].index = take_uint(r);
    }
    return count;
}

int edit_run(struct crdt_doc *doc, struct crdt_slice request, struct crdt_buf *out)
{
    struct crdt_step steps[MAX_STEPS] = {0};
    struct request r = {.doc = doc, .path.steps = steps, .out = out};
    uint8_t letter;

    lib0_reader_init(&r.args, request.data, request.len);
    letter = lib0_read_u8(&r.args);
    r.client = take_uint(&r);
    r.path.root = take_string(&r);
    r.path.step_count = take_steps(&r, steps);
    if (r.args.has_failed || r.path.step_count > MAX_STEPS)
        return -EINVAL;
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        if ((uint8_t)calls[i].letter == letter)
            return calls[i].run(&r);
    return -EINVAL;
}
