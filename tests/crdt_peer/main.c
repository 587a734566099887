/*
 * crdt_peer: the engine behind a pipe, for tests in other languages. It answers one request after
 * the other until its input ends.
 *
 * Request: u32 little-endian length, then that many bytes: a command and its payload. Answer: u32
 * length, then a status byte (0 done, 1 refused) and the result, or the reason as text. A refused
 * command leaves the document as it was, where the table at the end, of all commands, does not say
 * otherwise.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crdt/any.h"
#include "crdt/awareness_update.h"
#include "crdt/crdt.h"
#include "crdt/lib0.h"
#include "edit.h"

struct peer {
    struct crdt_doc *doc;
};

/* ---- the document ---- */

static int run_new(struct peer *peer, struct crdt_slice payload, struct crdt_buf *out)
{
    (void)payload;
    (void)out;
    struct crdt_doc *doc = crdt_doc_new(NULL);
    if (!doc)
        return -ENOMEM;
    crdt_doc_free(peer->doc);
    peer->doc = doc;
    return 0;
}

static int run_apply_v1(struct peer *peer, struct crdt_slice payload, struct crdt_buf *out)
{
    (void)out;
    return crdt_doc_apply(peer->doc, CRDT_V1, payload.data, payload.len, NULL);
}

static int run_apply_v2(struct peer *peer, struct crdt_slice payload, struct crdt_buf *out)
{
    (void)out;
    return crdt_doc_apply(peer->doc, CRDT_V2, payload.data, payload.len, NULL);
}

static int run_state_vector(struct peer *peer, struct crdt_slice payload, struct crdt_buf *out)
{
    (void)payload;
    return crdt_doc_state_vector(peer->doc, out);
}

static int run_encode_v1(struct peer *peer, struct crdt_slice payload, struct crdt_buf *out)
{
    return crdt_doc_encode(peer->doc, CRDT_V1, payload.data, payload.len, out);
}

static int run_encode_v2(struct peer *peer, struct crdt_slice payload, struct crdt_buf *out)
{
    return crdt_doc_encode(peer->doc, CRDT_V2, payload.data, payload.len, out);
}

static int run_pending(struct peer *peer, struct crdt_slice payload, struct crdt_buf *out)
{
    (void)payload;
    lib0_write_u8(out, crdt_doc_has_pending(peer->doc) ? '1' : '0');
    return 0;
}

/* ---- reading the document ---- */

static int find_kind(struct crdt_slice word, enum crdt_kind *ret_kind)
{
    static const struct {
        const char *name;
        enum crdt_kind kind;
    } kinds[] = {
        {"text", CRDT_KIND_TEXT},   {"delta", CRDT_KIND_DELTA}, {"map", CRDT_KIND_MAP},
        {"array", CRDT_KIND_ARRAY}, {"xml", CRDT_KIND_XML},
    };
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (strlen(kinds[i].name) == word.len && memcmp(kinds[i].name, word.data, word.len) == 0) {
            *ret_kind = kinds[i].kind;
            return 0;
        }
    }
    return -EINVAL;
}

/* Appends the member that one line asks for. */
static int read_root(struct peer *peer, struct crdt_slice line, struct crdt_buf *out)
{
    enum crdt_kind kind;
    const uint8_t *space = line.len ? memchr(line.data, ' ', line.len) : NULL;
    if (!space)
        return -EINVAL;
    int rc = find_kind((struct crdt_slice){line.data, (size_t)(space - line.data)}, &kind);
    if (rc < 0)
        return rc;
    const char *name = (const char *)space + 1;
    size_t name_len = (size_t)(line.data + line.len - (space + 1));
    crdt_json_write_string(out, name, name_len);
    lib0_write_u8(out, ':');
    if (kind != CRDT_KIND_TEXT && kind != CRDT_KIND_XML)
        return crdt_doc_read(peer->doc, kind, name, name_len, out);

    struct crdt_buf text = {0};
    rc = crdt_doc_read(peer->doc, kind, name, name_len, &text);
    if (rc == 0)
        crdt_json_write_string(out, text.data, text.len);
    crdt_buf_done(&text);
    return rc;
}

static int run_json(struct peer *peer, struct crdt_slice payload, struct crdt_buf *out)
{
    const uint8_t *pos = payload.data, *end = payload.data + payload.len;
    const char *separator = "{";
    while (pos < end) {
        const uint8_t *newline = memchr(pos, '\n', (size_t)(end - pos));
        struct crdt_slice line = {pos, (size_t)((newline ? newline : end) - pos)};
        pos = newline ? newline + 1 : end;
        if (line.len == 0)
            continue;
        lib0_write_u8(out, (uint8_t)*separator);
        separator = ",";
        int rc = read_root(peer, line, out);
        if (rc < 0)
            return rc;
    }
    if (*separator == '{')
        lib0_write_u8(out, '{');
    lib0_write_u8(out, '}');
    return 0;
}

/* ---- updates without a document ---- */

/* A u32 length and that many bytes, off the front of `rest`. */
static int take_sized(struct crdt_slice *rest, struct crdt_slice *ret_part)
{
    if (rest->len < 4)
        return -EINVAL;
    const uint8_t *p = rest->data;
    size_t len = (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
    if (len > rest->len - 4)
        return -EINVAL;
    *ret_part = (struct crdt_slice){p + 4, len};
    *rest = (struct crdt_slice){p + 4 + len, rest->len - 4 - len};
    return 0;
}

static int merge(enum crdt_format format, struct crdt_slice payload, struct crdt_buf *out)
{
    size_t count = 0;
    int rc = 0;
    struct crdt_slice *updates = calloc(payload.len / 4 + 1, sizeof(*updates));
    if (!updates)
        return -ENOMEM;
    while (payload.len > 0 && rc == 0)
        rc = take_sized(&payload, &updates[count++]);
    if (rc == 0)
        rc = crdt_update_merge(format, updates, count, NULL, out);
    free(updates);
    return rc;
}

static int run_merge_v1(struct peer *peer, struct crdt_slice payload, struct crdt_buf *out)
{
    (void)peer;
    return merge(CRDT_V1, payload, out);
}

static int run_merge_v2(struct peer *peer, struct crdt_slice payload, struct crdt_buf *out)
{
    (void)peer;
    return merge(CRDT_V2, payload, out);
}

static int diff(enum crdt_format format, struct crdt_slice payload, struct crdt_buf *out)
{
    struct crdt_slice update;
    int rc = take_sized(&payload, &update);
    return rc < 0 ? rc : crdt_update_diff(format, update, payload, NULL, out);
}

static int run_diff_v1(struct peer *peer, struct crdt_slice payload, struct crdt_buf *out)
{
    (void)peer;
    return diff(CRDT_V1, payload, out);
}

static int run_diff_v2(struct peer *peer, struct crdt_slice payload, struct crdt_buf *out)
{
    (void)peer;
    return diff(CRDT_V2, payload, out);
}

static int run_update_state_vector_v1(struct peer *peer, struct crdt_slice payload,
                                      struct crdt_buf *out)
{
    (void)peer;
    return crdt_update_state_vector(CRDT_V1, payload, NULL, out);
}

static int run_update_state_vector_v2(struct peer *peer, struct crdt_slice payload,
                                      struct crdt_buf *out)
{
    (void)peer;
    return crdt_update_state_vector(CRDT_V2, payload, NULL, out);
}

static int run_convert_to_v2(struct peer *peer, struct crdt_slice payload, struct crdt_buf *out)
{
    (void)peer;
    return crdt_update_convert(CRDT_V1, payload, CRDT_V2, NULL, out);
}

static int run_convert_to_v1(struct peer *peer, struct crdt_slice payload, struct crdt_buf *out)
{
    (void)peer;
    return crdt_update_convert(CRDT_V2, payload, CRDT_V1, NULL, out);
}

/* ---- many at once ---- */

static int run_apply_all(struct peer *peer, struct crdt_slice payload, struct crdt_buf *out)
{
    struct crdt_slice update;
    int rc = 0;
    (void)out;
    while (payload.len > 0 && rc == 0) {
        rc = take_sized(&payload, &update);
        if (rc == 0)
            rc = crdt_doc_apply(peer->doc, CRDT_V1, update.data, update.len, NULL);
    }
    return rc;
}

/* Takes one edit off the front of `edits` and appends its update behind its length. */
static int edit_text(struct peer *peer, uint64_t client, struct crdt_slice root,
                     struct lib0_reader *edits, struct crdt_buf *out)
{
    static const uint8_t head[4];
    uint64_t index = lib0_read_uint(edits), deleted = lib0_read_uint(edits);
    struct crdt_slice text = lib0_read_string(edits);
    const char *name = (const char *)root.data;
    size_t start = out->len + sizeof(head);
    if (edits->has_failed)
        return -EINVAL;
    lib0_write_bytes(out, head, sizeof(head));
    int rc = deleted > 0
                 ? crdt_text_delete(peer->doc, crdt_root(name, root.len), index, deleted, out)
                 : crdt_text_insert(peer->doc, client, crdt_root(name, root.len), index,
                                    (const char *)text.data, text.len, NULL, out);
    for (size_t i = 0; i < sizeof(head) && rc == 0 && !out->error; i++)
        out->data[start - sizeof(head) + i] = (uint8_t)((out->len - start) >> 8 * i);
    return rc;
}

static int run_edit_text(struct peer *peer, struct crdt_slice payload, struct crdt_buf *out)
{
    struct lib0_reader edits;
    lib0_reader_init(&edits, payload.data, payload.len);
    uint64_t client = lib0_read_uint(&edits);
    struct crdt_slice root = lib0_read_string(&edits);
    int rc = edits.has_failed ? -EINVAL : 0;
    while (rc == 0 && lib0_remaining(&edits) > 0)
        rc = edit_text(peer, client, root, &edits, out);
    return rc;
}

static int run_edit(struct peer *peer, struct crdt_slice payload, struct crdt_buf *out)
{
    return edit_run(peer->doc, payload, out);
}

/* ---- versions ---- */

static int snapshot(struct peer *peer, enum crdt_format format, struct crdt_buf *out)
{
    struct crdt_snapshot *now;
    int rc = crdt_doc_snapshot(peer->doc, &now);
    if (rc < 0)
        return rc;
    rc = crdt_snapshot_encode(now, format, out);
    crdt_snapshot_free(now);
    return rc;
}

static int run_snapshot_v1(struct peer *peer, struct crdt_slice payload, struct crdt_buf *out)
{
    (void)payload;
    return snapshot(peer, CRDT_V1, out);
}

static int run_snapshot_v2(struct peer *peer, struct crdt_slice payload, struct crdt_buf *out)
{
    (void)payload;
    return snapshot(peer, CRDT_V2, out);
}

static int run_doc_at_snapshot(struct peer *peer, struct crdt_slice payload, struct crdt_buf *out)
{
    struct crdt_snapshot *then;
    int rc = crdt_snapshot_decode(CRDT_V1, payload, NULL, &then);
    if (rc < 0)
        return rc;
    rc = crdt_doc_at_snapshot(peer->doc, CRDT_V1, then, out);
    crdt_snapshot_free(then);
    return rc;
}

static int run_update_at_snapshot(struct peer *peer, struct crdt_slice payload,
                                  struct crdt_buf *out)
{
    struct crdt_slice bytes;
    struct crdt_snapshot *then;
    (void)peer;
    int rc = take_sized(&payload, &bytes);
    if (rc == 0)
        rc = crdt_snapshot_decode(CRDT_V2, bytes, NULL, &then);
    if (rc < 0)
        return rc;
    rc = crdt_update_at_snapshot(CRDT_V2, payload, then, NULL, out);
    crdt_snapshot_free(then);
    return rc;
}

/* ---- positions ---- */

static int run_position_at(struct peer *peer, struct crdt_slice payload, struct crdt_buf *out)
{
    struct crdt_relative_position position;
    struct lib0_reader r;
    bool is_before;
    lib0_reader_init(&r, payload.data, payload.len);
    uint64_t index = lib0_read_uint(&r);
    int64_t assoc = (int64_t)lib0_read_int(&r, &is_before);
    if (r.has_failed)
        return -EINVAL;
    crdt_doc_position_at(peer->doc, (const char *)r.pos, lib0_remaining(&r), index,
                         is_before ? -assoc : assoc, &position);
    return crdt_relative_position_encode(&position, out);
}

static int run_position_resolve(struct peer *peer, struct crdt_slice payload, struct crdt_buf *out)
{
    struct crdt_relative_position position;
    struct crdt_absolute_position at;
    char text[96];
    int rc = crdt_relative_position_decode(payload, &position);
    if (rc == 0)
        rc = crdt_doc_position_resolve(peer->doc, &position, &at);
    if (rc == -ENOENT) {
        lib0_write_bytes(out, "null", 4);
        return 0;
    }
    if (rc < 0)
        return rc;
    int len =
        snprintf(text, sizeof(text), "{\"index\":%llu,\"type\":", (unsigned long long)at.index);
    lib0_write_bytes(out, text, (size_t)len);
    if (at.is_root) {
        crdt_json_write_string(out, at.root.data, at.root.len);
    } else {
        len = snprintf(text, sizeof(text), "[%llu,%llu]", (unsigned long long)at.client,
                       (unsigned long long)at.clock);
        lib0_write_bytes(out, text, (size_t)len);
    }
    lib0_write_u8(out, '}');
    return 0;
}

/* ---- awareness ---- */

static int run_awareness(struct peer *peer, struct crdt_slice payload, struct crdt_buf *out)
{
    static const struct crdt_awareness_limits limits = {.nesting = CRDT_DEFAULT_NESTING};
    struct crdt_awareness_reader r;
    struct crdt_awareness_state state;
    (void)peer;
    int rc = crdt_awareness_reader_init(&r, payload, &limits);
    if (rc < 0)
        return rc;
    crdt_awareness_write_count(out, r.left);
    while ((rc = crdt_awareness_reader_next(&r, &state)) > 0)
        crdt_awareness_write_state(out, &state);
    return rc;
}

/* ---- requests ---- */

struct command {
    char letter;
    int (*run)(struct peer *peer, struct crdt_slice payload, struct crdt_buf *out);
    const char *payload;
    const char *result;
};

static const struct command commands[] = {
    {'N', run_new, "", "the document is new and empty"},
    {'a', run_apply_v1, "a v1 update", ""},
    {'A', run_apply_v2, "a v2 update", ""},
    {'v', run_state_vector, "", "the document's state vector"},
    {'s', run_encode_v1, "a state vector or nothing", "a v1 update from there on"},
    {'S', run_encode_v2, "a state vector or nothing", "a v2 update from there on"},
    {'p', run_pending, "", "\"1\" if anything is pending, else \"0\""},
    {'j', run_json, "lines of \"kind name\" (text, delta, map, array, xml)",
     "a JSON object of the roots by name; text and xml as strings"},
    {'m', run_merge_v1, "v1 updates, each after its u32 length", "one v1 update"},
    {'M', run_merge_v2, "v2 updates, each after its u32 length", "one v2 update"},
    {'d', run_diff_v1, "u32 length, a v1 update, a state vector", "a v1 update"},
    {'D', run_diff_v2, "u32 length, a v2 update, a state vector", "a v2 update"},
    {'u', run_update_state_vector_v1, "a v1 update", "its state vector"},
    {'U', run_update_state_vector_v2, "a v2 update", "its state vector"},
    {'c', run_convert_to_v2, "a v1 update", "the v2 update"},
    {'C', run_convert_to_v1, "a v2 update", "the v1 update"},
    {'b', run_apply_all, "v1 updates, each after its u32 length; those before a refused one stay",
     ""},
    {'B', run_edit_text,
     "a client (varUint), a root's name (varString), then edits: an index and how much to delete "
     "(varUint), what to insert (varString) if that is 0; those before a refused one stay",
     "their v1 updates, each after its u32 length"},
    {'e', run_edit, "an edit as edit.h describes it", "its v1 update"},
    {'w', run_snapshot_v1, "", "the document's snapshot, v1"},
    {'W', run_snapshot_v2, "", "the document's snapshot, v2"},
    {'t', run_doc_at_snapshot, "a v1 snapshot", "a v1 update of the document's version"},
    {'T', run_update_at_snapshot, "u32 length, a v2 snapshot, a v2 update",
     "a v2 update of the update's version"},
    {'i', run_position_at, "an index (varUint), an association (varInt), a root's name",
     "the relative position"},
    {'q', run_position_resolve, "a relative position",
     "JSON: the index and the type (a root's name, or client and clock), or null"},
    {'x', run_awareness, "an awareness update", "the same, written anew"},
};

static const struct command *find_command(uint8_t letter)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if ((uint8_t)commands[i].letter == letter)
            return &commands[i];
    }
    return NULL;
}

static const char *reason_of(int rc)
{
    switch (-rc) {
    case EBADMSG:
        return "malformed";
    case E2BIG:
        return "over a limit";
    case EINVAL:
        return "bad request";
    case ERANGE:
        return "outside";
    case ENOENT:
        return "not there";
    case ESTALE:
        return "collected";
    default:
        return strerror(-rc);
    }
}

/* Appends the status byte and the result. */
static void answer(struct peer *peer, struct crdt_slice request, struct crdt_buf *out)
{
    const struct command *command = request.len ? find_command(request.data[0]) : NULL;
    const char *reason = "unknown command";
    lib0_write_u8(out, 0);
    if (command) {
        struct crdt_slice payload = {request.data + 1, request.len - 1};
        int rc = command->run(peer, payload, out);
        if (rc == 0)
            rc = out->error;
        if (rc == 0)
            return;
        reason = reason_of(rc);
    }
    out->len = 0;
    lib0_write_u8(out, 1);
    lib0_write_bytes(out, reason, strlen(reason));
}

/* Reads one request: 1, or 0 at the end of the input. */
static int read_request(struct crdt_buf *in)
{
    uint8_t head[4];
    if (fread(head, 1, sizeof(head), stdin) != sizeof(head))
        return 0;
    size_t len =
        (size_t)head[0] | (size_t)head[1] << 8 | (size_t)head[2] << 16 | (size_t)head[3] << 24;
    in->len = 0;
    if (lib0_reserve(in, len + 1) < 0)
        return 0;
    in->len = fread(in->data, 1, len, stdin);
    return in->len == len;
}

static bool write_answer(const struct crdt_buf *out)
{
    uint8_t head[4] = {(uint8_t)out->len, (uint8_t)(out->len >> 8), (uint8_t)(out->len >> 16),
                       (uint8_t)(out->len >> 24)};
    return !out->error && fwrite(head, 1, sizeof(head), stdout) == sizeof(head) &&
           fwrite(out->data, 1, out->len, stdout) == out->len && fflush(stdout) == 0;
}

static void print_help(void)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        printf("%c  takes: %s; gives: %s\n", commands[i].letter, commands[i].payload,
               commands[i].result);
}

int main(int argc, char **argv)
{
    struct peer peer = {0};
    struct crdt_buf in = {0}, out = {0};
    bool is_fine;
    if (argc > 1) {
        print_help();
        return strcmp(argv[1], "--help") == 0 ? 0 : 2;
    }
    is_fine = run_new(&peer, (struct crdt_slice){0}, &out) == 0;
    while (is_fine && read_request(&in)) {
        out.len = 0;
        answer(&peer, (struct crdt_slice){in.data, in.len}, &out);
        is_fine = write_answer(&out);
    }
    crdt_doc_free(peer.doc);
    crdt_buf_done(&in);
    crdt_buf_done(&out);
    return is_fine ? 0 : 1;
}
