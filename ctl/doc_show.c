#include "ctl/doc_show.h"

#include "crdt/lib0.h"
#include "ctl/escape.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

static const char *const kind_names[] = {
    [CRDT_KIND_TEXT] = "text",   [CRDT_KIND_DELTA] = "delta", [CRDT_KIND_MAP] = "map",
    [CRDT_KIND_ARRAY] = "array", [CRDT_KIND_XML] = "xml",
};

#define KIND_COUNT (sizeof(kind_names) / sizeof(kind_names[0]))

int doc_kind_parse(const char *name, enum crdt_kind *ret_kind)
{
    for (size_t i = 0; i < KIND_COUNT; i++) {
        if (strcmp(kind_names[i], name) == 0) {
            *ret_kind = (enum crdt_kind)i;
            return 0;
        }
    }
    return -EINVAL;
}

/* ---- the document ---- */

struct roots {
    struct crdt_root *list;
    size_t count;
};

struct shown {
    struct crdt_doc *doc;
    struct roots roots;
};

static void on_root(void *ctx, const struct crdt_root *root)
{
    struct roots *roots = ctx;

    roots->list = xrealloc(roots->list, (roots->count + 1) * sizeof(*roots->list));
    roots->list[roots->count++] = *root;
}

static void shown_done(struct shown *shown)
{
    crdt_doc_free(shown->doc);
    free(shown->roots.list);
}

static int complain(const char *what, int error)
{
    (void)fprintf(stderr, "concordctl: %s: %s\n", what, doc_strerror(error));
    return error;
}

static void warn_pending(const struct crdt_doc *doc)
{
    struct crdt_stats stats;

    crdt_doc_stats(doc, &stats);
    if (crdt_doc_has_pending(doc))
        (void)fprintf(stderr,
                      "concordctl: %" PRIu64
                      " bytes wait for updates that are not here and are not "
                      "shown\n",
                      stats.pending_bytes);
}

static int load(const struct doc_input *input, struct shown *ret_shown)
{
    struct shown shown = {.doc = crdt_doc_new(NULL)};

    if (!shown.doc)
        return complain("the document", -ENOMEM);
    for (size_t i = 0; i < input->count; i++) {
        const struct doc_file *f = &input->files[i];
        int r = crdt_doc_apply(shown.doc, f->format, f->bytes.data, f->bytes.len, NULL);
        if (r < 0) {
            shown_done(&shown);
            return complain(f->name, r);
        }
    }
    crdt_doc_roots(shown.doc, on_root, &shown.roots);
    *ret_shown = shown;
    return 0;
}

/* ---- roots ---- */

static void print_roots(const struct roots *roots)
{
    struct buffer names = {0};

    for (size_t i = 0; i < roots->count; i++) {
        buffer_append_str(&names, i > 0 ? ", '" : " '");
        escape_append(&names, slice_of(roots->list[i].name.data, roots->list[i].name.len));
        buffer_append_str(&names, "'");
    }
    (void)fprintf(stderr, "; there %s%.*s\n", roots->count > 0 ? "are:" : "is none", (int)names.len,
                  (const char *)names.data);
    buffer_done(&names);
}

static const struct crdt_root *find_root(const struct roots *roots, const char *name)
{
    for (size_t i = 0; i < roots->count; i++) {
        const struct crdt_slice *n = &roots->list[i].name;
        if (slice_equal(slice_of(n->data, n->len), slice_str(name)))
            return &roots->list[i];
    }
    (void)fprintf(stderr, "concordctl: there is no root '%s'", name);
    print_roots(roots);
    return NULL;
}

static const struct crdt_root *find_only_text(const struct roots *roots)
{
    const struct crdt_root *found = NULL;
    size_t count = 0;

    for (size_t i = 0; i < roots->count; i++) {
        const struct crdt_root *root = &roots->list[i];
        if (root->kind == CRDT_KIND_TEXT || root->kind == CRDT_KIND_DELTA) {
            found = root;
            count++;
        }
    }
    if (count == 1)
        return found;
    (void)fprintf(stderr, "concordctl: %zu roots are texts; --root NAME says which one is meant",
                  count);
    print_roots(roots);
    return NULL;
}

static int read_root(const struct crdt_doc *doc, const struct crdt_root *root, enum crdt_kind kind,
                     struct crdt_buf *out)
{
    int r = crdt_doc_read(doc, kind, (const char *)root->name.data, root->name.len, out);

    return r < 0 ? complain("a root", r) : 0;
}

int doc_show_text(const struct doc_input *input, const char *name, struct crdt_buf *out)
{
    struct shown shown;
    int r = load(input, &shown);

    if (r < 0)
        return r;
    const struct crdt_root *root =
        name ? find_root(&shown.roots, name) : find_only_text(&shown.roots);
    r = root ? read_root(shown.doc, root, CRDT_KIND_TEXT, out) : -ENOENT;
    if (r == 0)
        warn_pending(shown.doc);
    shown_done(&shown);
    return r;
}

/* ---- JSON ---- */

static int append_bytes(const char *bytes, size_t len, void *out)
{
    lib0_write_bytes(out, bytes, len);
    return ((struct crdt_buf *)out)->error;
}

/* Takes `value`. */
static int append_json(struct crdt_buf *out, json_t *value, size_t flags)
{
    int r = value ? json_dump_callback(value, append_bytes, out, flags | JSON_ENCODE_ANY) : -1;

    json_decref(value);
    return r < 0 ? complain("JSON", -ENOMEM) : 0;
}

static int append_string(struct crdt_buf *out, const void *text, size_t len)
{
    return append_json(out, json_stringn(text ? text : "", len), 0);
}

static int append_value(const struct crdt_doc *doc, const struct crdt_root *root,
                        enum crdt_kind kind, struct crdt_buf *out)
{
    struct crdt_buf text = {0};

    if (kind != CRDT_KIND_TEXT && kind != CRDT_KIND_XML)
        return read_root(doc, root, kind, out);
    int r = read_root(doc, root, kind, &text);
    if (r == 0)
        r = append_string(out, text.data, text.len);
    crdt_buf_done(&text);
    return r;
}

static int append_all(const struct shown *shown, struct crdt_buf *out)
{
    int r = 0;

    lib0_write_u8(out, '{');
    for (size_t i = 0; i < shown->roots.count && r == 0; i++) {
        const struct crdt_root *root = &shown->roots.list[i];
        if (i > 0)
            lib0_write_u8(out, ',');
        r = append_string(out, root->name.data, root->name.len);
        lib0_write_u8(out, ':');
        if (r == 0)
            r = append_value(shown->doc, root, root->kind, out);
    }
    lib0_write_u8(out, '}');
    return r;
}

int doc_show_json(const struct doc_input *input, const char *name, const enum crdt_kind *as,
                  struct crdt_buf *out)
{
    const struct crdt_root *root = NULL;
    struct shown shown;
    int r = load(input, &shown);

    if (r < 0)
        return r;
    if (!name)
        r = append_all(&shown, out);
    else if ((root = find_root(&shown.roots, name)))
        r = append_value(shown.doc, root, as ? *as : root->kind, out);
    else
        r = -ENOENT;
    lib0_write_u8(out, '\n');
    if (r == 0)
        warn_pending(shown.doc);
    shown_done(&shown);
    return r;
}

/* ---- figures ---- */

static int measure_state(const struct crdt_doc *doc, enum crdt_format format, json_int_t *ret)
{
    struct crdt_buf state = {0};
    int r = crdt_doc_encode(doc, format, NULL, 0, &state);

    if (r == 0)
        *ret = (json_int_t)state.len;
    crdt_buf_done(&state);
    return r < 0 ? complain("the document", r) : 0;
}

static json_t *figures_of_files(const struct doc_input *input)
{
    json_t *files = json_array();

    for (size_t i = 0; i < input->count; i++) {
        const struct doc_file *f = &input->files[i];
        json_t *name = json_string(f->name);
        (void)json_array_append_new(
            files, json_pack("{s:o, s:i, s:I}", "name", name ? name : json_null(), "format",
                             (int)f->format, "bytes", (json_int_t)f->bytes.len));
    }
    return files;
}

static json_t *figures_of_roots(const struct roots *roots)
{
    json_t *list = json_array();

    for (size_t i = 0; i < roots->count; i++) {
        const struct crdt_root *root = &roots->list[i];
        (void)json_array_append_new(
            list, json_pack("{s:o, s:s, s:I, s:I}", "name",
                            json_stringn((const char *)root->name.data, root->name.len), "kind",
                            kind_names[root->kind], "length", (json_int_t)root->length, "keys",
                            (json_int_t)root->keys));
    }
    return list;
}

/* NULL after a message. */
static json_t *figures_of(const struct doc_input *input, const struct shown *shown)
{
    struct crdt_stats stats;
    json_int_t v1, v2;

    if (measure_state(shown->doc, CRDT_V1, &v1) < 0 || measure_state(shown->doc, CRDT_V2, &v2) < 0)
        return NULL;
    crdt_doc_stats(shown->doc, &stats);
    return json_pack("{s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "files", figures_of_files(input),
                     "structs", (json_int_t)stats.structs, "clients", (json_int_t)stats.clients,
                     "pending_bytes", (json_int_t)stats.pending_bytes, "memory_bytes",
                     (json_int_t)stats.memory_bytes, "v1_bytes", v1, "v2_bytes", v2, "roots",
                     figures_of_roots(&shown->roots));
}

static json_int_t number(const json_t *object, const char *key)
{
    return json_integer_value(json_object_get(object, key));
}

static void print_name(struct buffer *out, const json_t *object)
{
    const json_t *name = json_object_get(object, "name");

    escape_append(out, slice_of(json_string_value(name), json_string_length(name)));
}

static void print_figures(struct buffer *out, const json_t *figures)
{
    const char *key;
    json_t *value;
    size_t i;

    json_array_foreach(json_object_get(figures, "files"), i, value)
    {
        buffer_printf(out, "file v%lld %lld bytes  ", number(value, "format"),
                      number(value, "bytes"));
        print_name(out, value);
        buffer_append_str(out, "\n");
    }
    json_object_foreach((json_t *)figures, key, value)
    {
        if (json_is_integer(value))
            buffer_printf(out, "%-14s %12lld\n", key, json_integer_value(value));
    }
    json_array_foreach(json_object_get(figures, "roots"), i, value)
    {
        buffer_printf(out, "root %-5s length %lld, keys %lld  ",
                      json_string_value(json_object_get(value, "kind")), number(value, "length"),
                      number(value, "keys"));
        print_name(out, value);
        buffer_append_str(out, "\n");
    }
}

int doc_show_stat(const struct doc_input *input, bool is_json, struct crdt_buf *out)
{
    struct shown shown;
    struct buffer lines = {0};
    int r = load(input, &shown);

    if (r < 0)
        return r;
    json_t *figures = figures_of(input, &shown);
    shown_done(&shown);
    if (!figures)
        return -ENOMEM;
    if (is_json) {
        r = append_json(out, figures, JSON_INDENT(2));
        lib0_write_u8(out, '\n');
        return r;
    }
    print_figures(&lines, figures);
    lib0_write_bytes(out, lines.data, lines.len);
    buffer_done(&lines);
    json_decref(figures);
    return 0;
}
