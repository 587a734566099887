/*
 * Input: the format, then updates, each with its length. Who follows what is said of the root "t"
 * holds after each update what is seen of it.
 */
#include "crdt/text_units.h"

#include "fuzz.h"

#define MAX_UPDATES 12

struct unit {
    struct crdt_id id;
    uint32_t sum; /* of what stands for it */
};

struct follower {
    struct unit *units;
    size_t count;
    size_t cap;
};

static size_t index_of(const struct follower *f, struct crdt_id id)
{
    size_t i = 0;
    while (i < f->count && (f->units[i].id.client != id.client || f->units[i].id.clock != id.clock))
        i++;
    return i;
}

/* What a unit of a text is: the unit itself, halves of pairs included. */
static uint32_t unit_at(const struct crdt_units *u, uint64_t n)
{
    bool is_inside = false;
    if (!u->text.data)
        return UINT32_MAX;
    size_t offset = lib0_utf16_offset(u->text.data, u->text.len, n, &is_inside);
    uint32_t bytes = is_inside;
    for (size_t i = 0; i < 4 && offset + i < u->text.len; i++)
        if (i == 0 || (u->text.data[offset + i] & 0xc0) == 0x80)
            bytes = bytes << 8 | u->text.data[offset + i];
        else
            break;
    return bytes;
}

static void follow(void *ctx, const struct crdt_units *u)
{
    struct follower *f = ctx;
    size_t at = 0;
    CHECK(u->len > 0);
    if (!u->is_deleted && u->has_after) {
        at = index_of(f, u->after);
        CHECK(at < f->count);
        at++;
    }
    for (uint64_t n = 0; n < u->len; n++) {
        struct crdt_id id = {u->id.client, u->id.clock + n};
        size_t there = index_of(f, id);
        CHECK((there < f->count) == u->is_deleted);
        if (u->is_deleted) {
            f->count--;
            memmove(&f->units[there], &f->units[there + 1], (f->count - there) * sizeof(*f->units));
            continue;
        }
        if (f->count == f->cap) {
            f->cap = f->cap ? 2 * f->cap : 64;
            f->units = realloc(f->units, f->cap * sizeof(*f->units));
            CHECK(f->units);
        }
        memmove(&f->units[at + 1], &f->units[at], (f->count - at) * sizeof(*f->units));
        f->units[at++] = (struct unit){id, unit_at(u, n)};
        f->count++;
    }
}

static void apply(struct crdt_doc *doc, enum crdt_format format, struct crdt_slice update,
                  struct follower *f)
{
    static const struct crdt_slice root = {(const uint8_t *)"t", 1};
    struct follower now = {0};
    int rc = crdt_doc_apply_units(doc, format, update, root, follow, f, NULL);
    if (rc < 0)
        check_refusal(rc);
    crdt_doc_read_units(doc, root, follow, &now);
    CHECK(f->count == now.count);
    for (size_t i = 0; i < now.count; i++)
        CHECK(f->units[i].id.client == now.units[i].id.client &&
              f->units[i].id.clock == now.units[i].id.clock && f->units[i].sum == now.units[i].sum);
    free(now.units);
}

/* Texts longer than this take too long to follow one by one. */
static bool is_short(struct crdt_slice update, enum crdt_format format)
{
    struct crdt_reader *r;
    struct crdt_struct s;
    uint64_t units = 0;
    if (crdt_reader_new(format, update.data, update.len, &fuzz_limits, &r) < 0)
        return true;
    while (crdt_reader_struct(r, &s) > 0)
        units += crdt_struct_ref(&s) == CRDT_REF_SKIP || crdt_struct_ref(&s) == CRDT_REF_GC ||
                         crdt_struct_ref(&s) == CRDT_REF_DELETED
                     ? 0
                     : s.len;
    crdt_reader_free(r);
    return units < 1000;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct crdt_slice rest = {data, size}, updates[MAX_UPDATES];
    enum crdt_format format = take_format(&rest);
    struct crdt_doc *doc = new_doc();
    struct follower f = {0};
    size_t count = 0;
    while (rest.len > 0 && count < MAX_UPDATES)
        take_part(&rest, &updates[count++]);
    for (size_t i = 0; i < count; i++)
        if (is_short(updates[i], format))
            apply(doc, format, updates[i], &f);
    for (size_t i = 0; i < count; i++)
        free_slice(&updates[i]);
    free(f.units);
    crdt_doc_free(doc);
    return 0;
}
