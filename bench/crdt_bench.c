/*
 * crdt_bench WORK RUNS FILE: does one piece of work with the engine several times and prints
 *
 *   WORK best_ns bytes checksum memory structs
 *
 * where `bytes` is the size of what was worked on or made and `checksum` that of the result, so
 * that engines can be told to have done the same. FILE is a list of (u32 little-endian length,
 * bytes): updates, or one update. With RUNS 1 it is fit for an instruction counter.
 */
#include "crdt/crdt.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct input {
    uint8_t *bytes;
    struct crdt_slice *parts;
    size_t count;
    size_t total; /* bytes of all parts */
};

struct result {
    uint64_t ns;
    size_t bytes;
    uint32_t checksum;
    struct crdt_stats stats;
};

typedef void (*work_fn)(const struct input *in, struct result *result);

static uint64_t now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* FNV-1a: the peers compute the same. */
static uint32_t checksum(const uint8_t *data, size_t len)
{
    uint32_t h = 2166136261u;

    for (size_t i = 0; i < len; i++)
        h = (h ^ data[i]) * 16777619u;
    return h;
}

static void must(int r, const char *what)
{
    if (r < 0) {
        (void)fprintf(stderr, "crdt_bench: %s: %s\n", what, strerror(-r));
        exit(1);
    }
}

static void note(struct result *result, uint64_t started, struct crdt_buf *out)
{
    result->ns = now_ns() - started;
    result->bytes = out->len;
    result->checksum = checksum(out->data, out->len);
    crdt_buf_done(out);
}

static struct crdt_doc *doc_of(const struct input *in, enum crdt_format format)
{
    struct crdt_doc *doc = crdt_doc_new(NULL);

    for (size_t i = 0; i < in->count; i++)
        must(crdt_doc_apply(doc, format, in->parts[i].data, in->parts[i].len, NULL), "apply");
    return doc;
}

static void apply_and_read(const struct input *in, enum crdt_format format, struct result *result)
{
    struct crdt_buf text = {0};
    uint64_t started = now_ns();
    struct crdt_doc *doc = doc_of(in, format);

    must(crdt_doc_read(doc, CRDT_KIND_TEXT, "text", 4, &text), "read");
    note(result, started, &text);
    crdt_doc_stats(doc, &result->stats);
    crdt_doc_free(doc);
}

static void work_apply_v1(const struct input *in, struct result *result)
{
    apply_and_read(in, CRDT_V1, result);
}

static void work_apply_v2(const struct input *in, struct result *result)
{
    apply_and_read(in, CRDT_V2, result);
}

static void encode(const struct input *in, enum crdt_format format, struct result *result)
{
    struct crdt_doc *doc = doc_of(in, CRDT_V1);
    struct crdt_buf out = {0};
    uint64_t started = now_ns();

    must(crdt_doc_encode(doc, format, NULL, 0, &out), "encode");
    note(result, started, &out);
    crdt_doc_free(doc);
}

static void work_encode_v1(const struct input *in, struct result *result)
{
    encode(in, CRDT_V1, result);
}

static void work_encode_v2(const struct input *in, struct result *result)
{
    encode(in, CRDT_V2, result);
}

static void work_merge(const struct input *in, struct result *result)
{
    struct crdt_buf out = {0};
    uint64_t started = now_ns();

    must(crdt_update_merge(CRDT_V1, in->parts, in->count, NULL, &out), "merge");
    note(result, started, &out);
}

static void work_state_vector(const struct input *in, struct result *result)
{
    struct crdt_buf out = {0};
    uint64_t started = now_ns();

    must(crdt_update_state_vector(CRDT_V1, in->parts[0], NULL, &out), "state vector");
    note(result, started, &out);
}

/* The second part is the state vector. */
static void work_diff(const struct input *in, struct result *result)
{
    struct crdt_buf out = {0};
    uint64_t started = now_ns();

    assert(in->count == 2);
    must(crdt_update_diff(CRDT_V1, in->parts[0], in->parts[1], NULL, &out), "diff");
    note(result, started, &out);
}

/* Applies the last part, which must be refused, to the document of those before (format 1). */
static void refuse(const struct input *in, enum crdt_format format, struct result *result)
{
    const struct crdt_slice last = in->parts[in->count - 1];
    struct input before = {.parts = in->parts, .count = in->count - 1};
    struct crdt_doc *doc = doc_of(&before, CRDT_V1);
    struct crdt_buf out = {0};
    uint64_t started = now_ns();
    int r = crdt_doc_apply(doc, format, last.data, last.len, NULL);

    note(result, started, &out);
    if (r >= 0)
        must(-EINVAL, "to be refused");
    crdt_doc_free(doc);
}

static void work_refuse_v1(const struct input *in, struct result *result)
{
    refuse(in, CRDT_V1, result);
}

static void work_refuse_v2(const struct input *in, struct result *result)
{
    refuse(in, CRDT_V2, result);
}

static uint32_t read_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Each part is an edit: u32 position, u32 deleted UTF-16 units, then the inserted text. */
static void work_edit(const struct input *in, struct result *result)
{
    struct crdt_doc *doc = crdt_doc_new(NULL);
    struct crdt_buf update = {0};
    struct crdt_buf text = {0};
    uint64_t started = now_ns();

    for (size_t i = 0; i < in->count; i++) {
        const uint8_t *p = in->parts[i].data;
        uint32_t position = read_u32(p);
        uint32_t deleted = read_u32(p + 4);
        size_t len = in->parts[i].len - 8;
        update.len = 0;
        if (deleted > 0)
            must(crdt_text_delete(doc, crdt_root("text", 4), position, deleted, &update), "delete");
        if (len > 0)
            must(crdt_text_insert(doc, 1, crdt_root("text", 4), position, (const char *)p + 8, len,
                                  NULL, &update),
                 "insert");
    }
    must(crdt_doc_read(doc, CRDT_KIND_TEXT, "text", 4, &text), "read");
    note(result, started, &text);
    crdt_buf_done(&update);
    crdt_doc_free(doc);
}

static const struct {
    const char *name;
    work_fn fn;
} works[] = {
    {"apply-v1", work_apply_v1},   {"apply-v2", work_apply_v2}, {"encode-v1", work_encode_v1},
    {"encode-v2", work_encode_v2}, {"merge", work_merge},       {"state-vector", work_state_vector},
    {"diff", work_diff},           {"edit", work_edit},         {"refuse-v1", work_refuse_v1},
    {"refuse-v2", work_refuse_v2},
};

static void read_input(const char *path, struct input *in)
{
    FILE *f = fopen(path, "rb");

    if (!f || fseek(f, 0, SEEK_END) < 0)
        must(-1, path);
    size_t len = (size_t)ftell(f);
    rewind(f);
    in->bytes = malloc(len);
    in->parts = malloc((len / 4 + 1) * sizeof(*in->parts));
    if (!in->bytes || !in->parts || fread(in->bytes, 1, len, f) != len)
        must(-1, path);
    (void)fclose(f);
    for (size_t at = 0; at + 4 <= len;) {
        size_t n = read_u32(in->bytes + at);
        assert(n <= len - at - 4);
        in->parts[in->count++] = (struct crdt_slice){in->bytes + at + 4, n};
        in->total += n;
        at += 4 + n;
    }
}

int main(int argc, char **argv)
{
    struct input in = {0};
    struct result best = {.ns = UINT64_MAX};

    if (argc != 4) {
        (void)fprintf(stderr, "usage: crdt_bench WORK RUNS FILE\n");
        return 2;
    }
    read_input(argv[3], &in);
    for (size_t i = 0; i < sizeof(works) / sizeof(works[0]); i++) {
        if (strcmp(works[i].name, argv[1]) != 0)
            continue;
        for (int run = 0; run < atoi(argv[2]); run++) {
            struct result result = {0};
            works[i].fn(&in, &result);
            if (result.ns < best.ns)
                best = result;
        }
        printf("%s %llu %zu %08x %llu %llu\n", argv[1], (unsigned long long)best.ns, best.bytes,
               best.checksum, (unsigned long long)best.stats.memory_bytes,
               (unsigned long long)best.stats.structs);
        free(in.parts);
        free(in.bytes);
        return 0;
    }
    (void)fprintf(stderr, "crdt_bench: no work '%s'\n", argv[1]);
    return 2;
}
