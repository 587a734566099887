/*
 * The lens `ops`: the root text `body` as runs of UTF-16 units with ids, in JSON (the JSON envelope
 * with `data=ops`). A unit is {"site", "counter"}: the client of the document and its clock, from
 * one on. A site of 1 to 8 characters is a client above 2^52: its number to the base 64, with the
 * digits 1 to 64, so that no two sites are one client and nothing has to be kept. Every other
 * client appears as "#" and its number.
 */
#include "crdt/any.h"
#include "crdt/text_units.h"
#include "roomd/lens.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define SITE_CHARS  8u
#define SITE_BASE   (UINT64_C(1) << 52)
#define SITE_BYTES  24u            /* of any, with its end */
#define OP_BYTES    (8u << 20)     /* of one operation */
#define OP_MARKS    64u            /* of '{', '[' and ',' in it: a value of jansson is large */
#define VALUE_UNITS (1u << 20)     /* that one operation inserts */
#define EMBED       "\xef\xbf\xbc" /* U+FFFC stands for each */

static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";
static const struct crdt_slice root = {(const uint8_t *)"body", 4};

/* ---- sites ---- */

static bool read_site(const char *text, size_t len, uint64_t *ret_client)
{
    uint64_t number = 0;

    if (len == 0 || len > SITE_CHARS)
        return false;
    for (size_t i = 0; i < len; i++) {
        const char *digit = text[i] ? strchr(digits, text[i]) : NULL;
        if (!digit)
            return false;
        number = number * 64 + (uint64_t)(digit - digits) + 1;
    }
    *ret_client = SITE_BASE + number;
    return true;
}

/* False: it is none of a site. */
static bool write_site(uint64_t client, char site[SITE_BYTES])
{
    uint64_t number = client > SITE_BASE ? client - SITE_BASE : 0;
    char reversed[SITE_CHARS + 1];
    size_t len = 0;

    for (; number > 0 && len <= SITE_CHARS; number = (number - 1) / 64)
        reversed[len++] = digits[(number - 1) % 64];
    if (len == 0 || len > SITE_CHARS)
        return false;
    for (size_t i = 0; i < len; i++)
        site[i] = reversed[len - 1 - i];
    site[len] = 0;
    return true;
}

/* "#" and a number, as it is written here. */
static bool read_number(const char *text, size_t len, uint64_t *ret_client)
{
    char again[SITE_BYTES], site[SITE_BYTES];
    uint64_t client = 0;

    if (len < 2 || len >= SITE_BYTES - 4 || text[0] != '#')
        return false;
    for (size_t i = 1; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        client = client * 10 + (uint64_t)(text[i] - '0');
    }
    (void)snprintf(again, sizeof(again), "#%" PRIu64, client);
    if (client > CRDT_MAX_CLIENT || write_site(client, site) || strlen(again) != len)
        return false;
    *ret_client = client;
    return true;
}

/* ---- operations ---- */

/* Is it made of so little that reading it costs little? */
static bool is_simple(struct slice op)
{
    bool is_in_string = false;
    uint32_t marks = 0;

    for (size_t i = 0; i < op.len; i++) {
        uint8_t c = op.data[i];
        if (c == '"')
            is_in_string = !is_in_string;
        else if (is_in_string && c == '\\')
            i++;
        else if (!is_in_string && (c == '{' || c == '[' || c == ',') && ++marks > OP_MARKS)
            return false;
    }
    return true;
}

static bool read_id(const json_t *value, bool is_author, struct crdt_id *ret_id)
{
    const json_t *site = json_object_get(value, "site");
    const json_t *counter = json_object_get(value, "counter");
    const char *text = json_string_value(site);
    struct crdt_id id;

    if (!text || !json_is_integer(counter) || json_integer_value(counter) < 1 ||
        json_integer_value(counter) > (json_int_t)CRDT_MAX_CLOCK)
        return false;
    if (!read_site(text, json_string_length(site), &id.client) &&
        (is_author || !read_number(text, json_string_length(site), &id.client)))
        return false;
    id.clock = (uint64_t)json_integer_value(counter) - 1;
    *ret_id = id;
    return true;
}

static bool read_insertion(const json_t *op, struct crdt_units_insertion *ret)
{
    const json_t *after = json_object_get(op, "after");
    const json_t *before = json_object_get(op, "before");
    const json_t *value = json_object_get(op, "value");

    if (!read_id(json_object_get(op, "id"), true, &ret->id) || !after || !json_is_string(value))
        return false;
    ret->has_after = !json_is_null(after);
    if (ret->has_after && !read_id(after, false, &ret->after))
        return false;
    ret->before_kind = !before                ? CRDT_BEFORE_CURRENT
                       : json_is_null(before) ? CRDT_BEFORE_END
                                              : CRDT_BEFORE_UNIT;
    if (ret->before_kind == CRDT_BEFORE_UNIT && !read_id(before, false, &ret->before))
        return false;
    ret->text =
        (struct crdt_slice){(const uint8_t *)json_string_value(value), json_string_length(value)};
    return true;
}

static int insert(struct crdt_doc *doc, const json_t *op, struct crdt_buf *ret_update)
{
    struct crdt_units_insertion insertion = {0};

    if (!read_insertion(op, &insertion))
        return -EBADMSG;
    if (lib0_utf16_len(insertion.text.data, insertion.text.len) > VALUE_UNITS)
        return -E2BIG;
    return crdt_doc_insert_units(doc, root, &insertion, ret_update);
}

static int delete (struct crdt_doc *doc, const json_t *op, struct crdt_buf *ret_update)
{
    const json_t *length = json_object_get(op, "length");
    json_int_t units = length ? json_integer_value(length) : 1; /* 0: it is none */
    struct crdt_id id;

    if (!read_id(json_object_get(op, "id"), false, &id) || units < 1)
        return -EBADMSG;
    return crdt_doc_delete_units(doc, root, id, (uint64_t)units, ret_update);
}

static int edit(struct crdt_doc *doc, struct slice text, struct crdt_buf *ret_update)
{
    if (text.len > OP_BYTES)
        return -E2BIG;
    /* It takes no lone surrogates. */
    json_t *op = is_simple(text) ? json_loadb((const char *)text.data, text.len,
                                              JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL)
                                 : NULL;
    const char *kind = json_string_value(json_object_get(op, "kind"));
    int r = -EBADMSG;

    if (kind && strcmp(kind, "insert") == 0)
        r = insert(doc, op, ret_update);
    else if (kind && strcmp(kind, "delete") == 0)
        r = delete (doc, op, ret_update);
    json_decref(op);
    return r == -EINVAL ? -EBADMSG : r;
}

/* ---- what it shows ---- */

/* What comes piece by piece is shown as one run as far as its units follow each other. */
struct shown {
    struct crdt_buf *out;
    bool is_view;          /* a list of runs; else operations, one a line */
    uint64_t runs;         /* written */
    struct crdt_units run; /* to be written; none if its len is 0 */
    struct crdt_buf text;
};

static void write_str(struct crdt_buf *out, const char *text)
{
    lib0_write_bytes(out, text, strlen(text));
}

static void write_id(struct crdt_buf *out, struct crdt_id id)
{
    char site[SITE_BYTES], text[80];

    if (!write_site(id.client, site))
        (void)snprintf(site, sizeof(site), "#%" PRIu64, id.client);
    int n = snprintf(text, sizeof(text), "{\"site\":\"%s\",\"counter\":%" PRIu64 "}", site,
                     id.clock + 1);
    lib0_write_bytes(out, text, (size_t)n);
}

static void write_insertion(struct shown *s)
{
    if (s->is_view)
        write_str(s->out, s->runs > 0 ? ",{\"id\":" : "{\"id\":");
    else
        write_str(s->out, "{\"kind\":\"insert\",\"id\":");
    write_id(s->out, s->run.id);
    if (!s->is_view) {
        write_str(s->out, ",\"after\":");
        if (s->run.has_after)
            write_id(s->out, s->run.after);
        else
            write_str(s->out, "null");
    }
    write_str(s->out, ",\"value\":");
    crdt_json_write_string(s->out, s->text.data, s->text.len);
    write_str(s->out, s->is_view ? "}" : "}\n");
}

static void write_run(struct shown *s)
{
    if (s->run.len == 0)
        return;
    write_insertion(s);
    s->runs++;
    s->run.len = 0;
    s->text.len = 0;
}

static void write_deletion(struct shown *s, const struct crdt_units *units)
{
    char length[40];

    write_str(s->out, "{\"kind\":\"delete\",\"id\":");
    write_id(s->out, units->id);
    (void)snprintf(length, sizeof(length), ",\"length\":%" PRIu64 "}\n", units->len);
    write_str(s->out, length);
}

static bool follows(const struct crdt_units *run, const struct crdt_units *units)
{
    return run->len > 0 && units->has_after && units->id.client == run->id.client &&
           units->id.clock == run->id.clock + run->len && units->after.client == units->id.client &&
           units->after.clock == units->id.clock - 1;
}

static void show(void *ctx, const struct crdt_units *units)
{
    struct shown *s = ctx;

    if (units->is_deleted) {
        write_deletion(s, units);
        return;
    }
    if (follows(&s->run, units)) {
        s->run.len += units->len;
    } else {
        write_run(s);
        s->run = *units;
    }
    if (units->text.data)
        lib0_write_bytes(&s->text, units->text.data, units->text.len);
    for (uint64_t n = 0; !units->text.data && n < units->len; n++)
        write_str(&s->text, EMBED);
}

static void end_showing(struct shown *s)
{
    write_run(s);
    if (s->text.error)
        s->out->error = s->text.error;
    crdt_buf_done(&s->text);
}

static int view(const struct crdt_doc *doc, struct crdt_buf *out)
{
    struct shown s = {.out = out, .is_view = true};

    write_str(out, "[");
    crdt_doc_read_units(doc, root, show, &s);
    end_showing(&s);
    write_str(out, "]");
    return out->error;
}

static int apply(struct crdt_doc *doc, struct slice update, struct crdt_applied *ret_applied,
                 struct crdt_buf *change)
{
    struct shown s = {.out = change};
    int r = crdt_doc_apply_units(doc, CRDT_V1, (struct crdt_slice){update.data, update.len}, root,
                                 show, &s, ret_applied);

    end_showing(&s);
    return r;
}

const struct lens_type lens_ops = {.view = view, .edit = edit, .apply = apply};
