/*
 * Input: a document as an update of either format, then edits: a byte for the call, one each for
 * the path, an index and a length, then up to two parts, of text, a key or JSON. An edit is refused
 * without a trace, or is an update that makes the same of another replica; a text that becomes
 * another one reads as that.
 */
#include "fuzz.h"

#define MAX_EDITS 16

struct call {
    struct crdt_doc *doc;
    struct crdt_path path;
    uint64_t index;
    uint64_t len;
    struct crdt_slice first;
    struct crdt_slice second;
};

enum { CLIENT = 77, KINDS = 10, BECOME = 4 };

static int make_edit(const struct call *c, unsigned kind, struct crdt_buf *out)
{
    const char *text = (const char *)c->first.data;

    switch (kind) {
    case 0:
        return crdt_text_insert(c->doc, CLIENT, c->path, c->index, text, c->first.len, NULL, out);
    case 1:
        return crdt_text_insert(c->doc, CLIENT, c->path, c->index, text, c->first.len, &c->second,
                                out);
    case 2:
        return crdt_text_delete(c->doc, c->path, c->index, c->len, out);
    case 3:
        return crdt_text_format(c->doc, CLIENT, c->path, c->index, c->len, c->first, out);
    case BECOME:
        return crdt_text_become(c->doc, CLIENT, c->path, text, c->first.len, out);
    case 5:
        return crdt_map_set(c->doc, CLIENT, c->path, c->first, c->second, out);
    case 6:
        return crdt_map_delete(c->doc, c->path, c->first, out);
    case 7:
        return crdt_array_insert(c->doc, CLIENT, c->path, c->index, c->first, out);
    case 8:
        return crdt_array_push(c->doc, CLIENT, c->path, c->first, out);
    default:
        return crdt_array_delete(c->doc, c->path, c->index, c->len, out);
    }
}

/* A root or, half of the time, what is inside of one. */
static void take_path(struct crdt_slice *rest, struct crdt_step *step, struct crdt_path *ret_path)
{
    static const char names[] = "tml";
    static const uint8_t keys[] = "kn";
    uint8_t byte = take_byte(rest);

    *ret_path = crdt_root(&names[byte % 3], 1);
    if (byte < 128)
        return;
    *step = (struct crdt_step){.index = byte / 8 % 4};
    if (byte & 4)
        step->key = (struct crdt_slice){&keys[byte / 8 % 2], 1};
    ret_path->steps = step;
    ret_path->step_count = 1;
}

static void check_text(const struct call *c)
{
    struct crdt_buf text = {0};

    if (c->path.step_count == 0) {
        CHECK(crdt_doc_read(c->doc, CRDT_KIND_TEXT, (const char *)c->path.root.data,
                            c->path.root.len, &text) == 0);
        CHECK(text.len == c->first.len &&
              (text.len == 0 || !memcmp(text.data, c->first.data, text.len)));
    }
    crdt_buf_done(&text);
}

/* `before` is the state that the edit was made in, if the limits let one see it. */
static void check_edit(const struct call *c, unsigned kind, const struct crdt_buf *before,
                       bool is_sound)
{
    struct crdt_buf update = {0}, after = {0};
    bool has_pending = crdt_doc_has_pending(c->doc);
    int rc = make_edit(c, kind, &update);

    if (rc < 0) {
        CHECK(rc == -EINVAL || rc == -ERANGE || rc == -ENOENT || rc == -E2BIG);
        CHECK(update.len == 0);
        CHECK(encode_doc(c->doc, CRDT_V1, &after) && is_equal(before, &after));
    } else if (is_sound && !has_pending) {
        struct crdt_doc *other = load_doc(CRDT_V1, before);

        CHECK(crdt_doc_apply(other, CRDT_V1, update.data, update.len, NULL) == 0);
        check_same(c->doc, other, CRDT_V1);
        crdt_doc_free(other);
    }
    /* What was pending may have come with the edit. */
    if (rc == 0 && kind == BECOME && !has_pending)
        check_text(c);
    crdt_buf_done(&update);
    crdt_buf_done(&after);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct crdt_slice rest = {data, size}, update;
    enum crdt_format format = take_format(&rest);
    struct call c = {.doc = new_doc()};
    struct crdt_buf before = {0};
    struct crdt_step step;

    take_part(&rest, &update);
    bool sound = is_sound(format, update);
    (void)!crdt_doc_apply(c.doc, format, update.data, update.len, NULL);
    for (int i = 0; i < MAX_EDITS && rest.len > 0; i++) {
        unsigned kind = take_byte(&rest) % KINDS;

        take_path(&rest, &step, &c.path);
        c.index = take_byte(&rest);
        c.len = take_byte(&rest);
        take_part(&rest, &c.first);
        take_part(&rest, &c.second);
        if (encode_doc(c.doc, CRDT_V1, &before))
            check_edit(&c, kind, &before, sound);
        free_slice(&c.first);
        free_slice(&c.second);
    }
    crdt_doc_free(c.doc);
    crdt_buf_done(&before);
    free_slice(&update);
    return 0;
}
