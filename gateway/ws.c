#include "gateway/ws.h"

#include "gateway/deflate.h"

#include <assert.h>
#include <errno.h>

#define MASKED        0x80
#define MASK_BYTES    4u
#define MESSAGE_START 4096u /* bytes first allocated for a message that comes in pieces */
#define BLOCK_SHARE   64u   /* compressed, what cannot be compressed is longer by one in so many */

void ws_parser_init(struct ws_parser *p, const struct ws_limits *limits, struct deflate *deflate)
{
    *p = (struct ws_parser){.limits = *limits, .deflate = deflate};
}

static void release_message(struct ws_parser *p)
{
    if (p->inflater)
        inflater_free(TAKE_PTR(p->inflater));
    free(p->message);
    p->message = NULL;
    p->message_len = p->message_cap = 0;
    p->wire_len = 0;
    p->message_opcode = 0;
    p->is_delivered = false;
    p->fragments = 0;
    p->utf8 = (struct utf8_stream){0};
}

void ws_parser_done(struct ws_parser *p)
{
    release_message(p);
    p->state = WS_PARSER_ENDED;
}

bool ws_parser_is_midway(const struct ws_parser *p)
{
    return p->state == WS_PARSER_PAYLOAD ||
           (p->state == WS_PARSER_HEAD &&
            (p->head_len > 0 || (p->message_opcode != 0 && !p->is_delivered)));
}

size_t ws_parser_held_bytes(const struct ws_parser *p)
{
    return p->message_len + (p->inflater ? INFLATER_BYTES : 0);
}

void ws_mask(uint8_t *data, size_t len, const uint8_t mask[4], size_t phase)
{
    uint8_t turned[sizeof(uint64_t)];
    uint64_t mask_word;
    size_t i = 0;

    for (size_t k = 0; k < sizeof(turned); k++)
        turned[k] = mask[(phase + k) & 3];
    memcpy(&mask_word, turned, sizeof(mask_word));
    for (; len - i >= sizeof(uint64_t); i += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, data + i, sizeof(word));
        word ^= mask_word;
        memcpy(data + i, &word, sizeof(word));
    }
    for (; i < len; i++)
        data[i] ^= turned[i & 7];
}

static enum ws_event_kind fail(struct ws_parser *p, struct ws_event *ret, uint16_t code,
                               const char *reason)
{
    release_message(p);
    p->state = WS_PARSER_ENDED;
    *ret = (struct ws_event){.code = code, .reason = reason};
    return WS_EVENT_FAIL;
}

static bool is_control(const struct ws_parser *p)
{
    return p->opcode >= WS_CLOSE;
}

static bool opcode_is_known(uint8_t opcode)
{
    return opcode <= WS_BINARY || (opcode >= WS_CLOSE && opcode <= WS_PONG);
}

static bool begins_message(const struct ws_parser *p)
{
    return p->opcode == WS_TEXT || p->opcode == WS_BINARY;
}

/* ---- header ---- */

static enum ws_event_kind check_first_octet(struct ws_parser *p, struct ws_event *ret)
{
    uint8_t reserved = p->head[0] & WS_RSV;

    p->is_fin = p->head[0] & WS_FIN;
    p->opcode = p->head[0] & 0x0f;
    if (reserved && !(reserved == WS_RSV1 && p->deflate && begins_message(p)))
        return fail(p, ret, WS_CLOSE_PROTOCOL, "a reserved bit is set");
    if (!opcode_is_known(p->opcode))
        return fail(p, ret, WS_CLOSE_PROTOCOL, "unknown opcode");
    if (is_control(p))
        return p->is_fin ? WS_EVENT_NONE
                         : fail(p, ret, WS_CLOSE_PROTOCOL, "a control frame is fragmented");
    if (p->opcode == WS_CONTINUATION && p->message_opcode == 0)
        return fail(p, ret, WS_CLOSE_PROTOCOL, "nothing to continue");
    if (p->opcode != WS_CONTINUATION && p->message_opcode != 0)
        return fail(p, ret, WS_CLOSE_PROTOCOL, "a message inside a message");
    if (begins_message(p))
        p->is_compressed = reserved == WS_RSV1;
    return WS_EVENT_NONE;
}

static enum ws_event_kind check_second_octet(struct ws_parser *p, struct ws_event *ret)
{
    if (!(p->head[1] & MASKED))
        return fail(p, ret, WS_CLOSE_PROTOCOL, "a client's frame is not masked");
    if (is_control(p) && (p->head[1] & 0x7f) > WS_CONTROL_MAX)
        return fail(p, ret, WS_CLOSE_PROTOCOL, "a control frame is too long");
    return WS_EVENT_NONE;
}

/* Bytes of the length field behind the second octet. */
static uint8_t length_bytes(const struct ws_parser *p)
{
    uint8_t len = p->head[1] & 0x7f;
    return len < 126 ? 0 : len == 126 ? 2 : 8;
}

/* The most payload bytes that a message may have before it is inflated. */
static size_t wire_max(const struct ws_parser *p)
{
    size_t max = p->limits.message_bytes;

    return p->is_compressed ? max + max / BLOCK_SHARE + BLOCK_SHARE : max;
}

static enum ws_event_kind check_length(struct ws_parser *p, struct ws_event *ret)
{
    uint8_t extended = length_bytes(p);
    uint64_t len = extended == 0 ? p->head[1] & 0x7f : 0;

    for (uint8_t i = 0; i < extended; i++)
        len = len << 8 | p->head[2 + i];
    if (len >> 63)
        return fail(p, ret, WS_CLOSE_PROTOCOL, "a length has its top bit set");
    if ((extended == 2 && len < 126) || (extended == 8 && len <= 0xffff))
        return fail(p, ret, WS_CLOSE_PROTOCOL, "a length is not minimal");
    if (!is_control(p)) {
        if (len > wire_max(p) - p->wire_len)
            return fail(p, ret, WS_CLOSE_TOO_LARGE, "the message is over the size limit");
        if (p->fragments >= p->limits.fragments)
            return fail(p, ret, WS_CLOSE_POLICY, "too many fragments");
    }
    p->frames++;
    p->control_frames += is_control(p);
    p->frame_len = (size_t)len;
    p->frame_got = 0;
    return WS_EVENT_NONE;
}

/* Takes octets until the header has `want` of them; false: it still has less. */
static bool take_head(struct ws_parser *p, uint8_t want, uint8_t **data, size_t *len)
{
    while (p->head_len<want && * len> 0) {
        p->head[p->head_len++] = **data;
        (*data)++;
        (*len)--;
    }
    return p->head_len >= want;
}

/* Takes header octets, each checked as soon as it is there. NONE: look at `state`. */
static enum ws_event_kind read_head(struct ws_parser *p, uint8_t **data, size_t *len,
                                    struct ws_event *ret)
{
    enum ws_event_kind kind = WS_EVENT_NONE;

    if (p->head_len == 0 && take_head(p, 1, data, len))
        kind = check_first_octet(p, ret);
    if (kind == WS_EVENT_NONE && p->head_len == 1 && take_head(p, 2, data, len)) {
        kind = check_second_octet(p, ret);
        if (kind == WS_EVENT_NONE && length_bytes(p) == 0)
            kind = check_length(p, ret);
    }
    if (kind != WS_EVENT_NONE || p->head_len < 2)
        return kind;

    uint8_t fields = (uint8_t)(2 + length_bytes(p));
    if (p->head_len < fields) {
        if (!take_head(p, fields, data, len))
            return WS_EVENT_NONE;
        kind = check_length(p, ret);
        if (kind != WS_EVENT_NONE)
            return kind;
    }
    if (take_head(p, (uint8_t)(fields + MASK_BYTES), data, len))
        p->state = WS_PARSER_PAYLOAD;
    return WS_EVENT_NONE;
}

/* ---- payload ---- */

static const uint8_t *frame_mask(const struct ws_parser *p)
{
    return p->head + 2 + length_bytes(p);
}

/* The buffer grows with the bytes that came, never with the length that a peer declared. */
static bool append(struct ws_parser *p, const uint8_t *data, size_t len)
{
    if (len > p->message_cap - p->message_len) {
        size_t need = p->message_len + len;
        size_t cap = p->message_cap ? p->message_cap * 2 : MESSAGE_START;
        if (cap > p->limits.message_bytes)
            cap = p->limits.message_bytes;
        if (cap < need)
            cap = need;
        uint8_t *grown = realloc(p->message, cap);
        if (!grown)
            return false;
        p->message = grown;
        p->message_cap = cap;
    }
    if (len > 0)
        memcpy(p->message + p->message_len, data, len);
    p->message_len += len;
    return true;
}

bool ws_close_code_is_valid(uint16_t code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

static enum ws_event_kind finish_close(struct ws_parser *p, struct ws_event *ret)
{
    struct utf8_stream utf8 = {0};

    *ret = (struct ws_event){.code = WS_CLOSE_NONE};
    if (p->frame_len == 1)
        return fail(p, ret, WS_CLOSE_PROTOCOL, "half a close code");
    if (p->frame_len >= 2) {
        struct slice reason = slice_of(p->control + 2, p->frame_len - 2);
        ret->code = (uint16_t)(p->control[0] << 8 | p->control[1]);
        if (!ws_close_code_is_valid(ret->code))
            return fail(p, ret, WS_CLOSE_PROTOCOL, "no such close code");
        if (utf8_stream_feed(&utf8, reason) < reason.len || !utf8_stream_is_complete(&utf8))
            return fail(p, ret, WS_CLOSE_BAD_DATA, "the close reason is not UTF-8");
    }
    release_message(p);
    p->state = WS_PARSER_ENDED;
    return WS_EVENT_CLOSE;
}

static enum ws_event_kind finish_control(struct ws_parser *p, struct ws_event *ret)
{
    if (p->opcode == WS_CLOSE)
        return finish_close(p, ret);
    *ret = (struct ws_event){.payload = slice_of(p->control, p->frame_len)};
    return p->opcode == WS_PING ? WS_EVENT_PING : WS_EVENT_PONG;
}

static enum ws_event_kind read_control(struct ws_parser *p, const uint8_t *data, size_t len,
                                       struct ws_event *ret)
{
    if (len > 0)
        memcpy(p->control + p->frame_got, data, len);
    p->frame_got += len;
    if (p->frame_got < p->frame_len)
        return WS_EVENT_NONE;
    p->state = WS_PARSER_HEAD;
    p->head_len = 0;
    return finish_control(p, ret);
}

/* Takes what is not, or no more, compressed. `is_whole`: all of a message, which is not kept. */
static enum ws_event_kind take_plain(struct ws_parser *p, struct slice bytes, bool is_whole,
                                     struct ws_event *ret)
{
    if (p->message_opcode == WS_TEXT && utf8_stream_feed(&p->utf8, bytes) < bytes.len)
        return fail(p, ret, WS_CLOSE_BAD_DATA, "the text is not UTF-8");
    if (!is_whole && !append(p, bytes.data, bytes.len))
        return fail(p, ret, WS_CLOSE_TRY_LATER, "out of memory");
    return WS_EVENT_NONE;
}

/* Little input may become much: each piece is looked at before it is kept. */
static enum ws_event_kind take_compressed(struct ws_parser *p, struct slice bytes,
                                          struct ws_event *ret)
{
    enum ws_event_kind kind = WS_EVENT_NONE;
    struct slice piece = {0};

    if (!p->inflater)
        p->inflater = inflater_new(p->deflate);
    do {
        int r = p->inflater ? inflater_next(p->inflater, &bytes, &piece) : -ENOMEM;
        if (r == -ENOMEM)
            return fail(p, ret, WS_CLOSE_TRY_LATER, "out of memory");
        if (r < 0)
            return fail(p, ret, WS_CLOSE_BAD_DATA, "the compressed data is damaged");
        size_t room = p->limits.message_bytes - p->message_len;
        p->inflated += piece.len;
        kind = take_plain(p, slice_of(piece.data, piece.len < room ? piece.len : room), false, ret);
        if (kind == WS_EVENT_NONE && piece.len > room)
            return fail(p, ret, WS_CLOSE_TOO_LARGE, "the message is over the size limit");
    } while (kind == WS_EVENT_NONE && piece.len > 0);
    return kind;
}

/* `whole`: the payload if it was there at once, and nothing was kept. */
static enum ws_event_kind finish_message(struct ws_parser *p, const struct slice *whole,
                                         struct ws_event *ret)
{
    if (p->is_compressed) {
        enum ws_event_kind kind = take_compressed(p, inflater_tail(), ret);
        if (kind != WS_EVENT_NONE)
            return kind;
        if (!inflater_is_complete(p->inflater))
            return fail(p, ret, WS_CLOSE_BAD_DATA, "the compressed data has no end");
    }
    if (!utf8_stream_is_complete(&p->utf8))
        return fail(p, ret, WS_CLOSE_BAD_DATA, "the text ends inside a character");
    *ret = (struct ws_event){
        .is_text = p->message_opcode == WS_TEXT,
        .payload = whole ? *whole : slice_of(p->message, p->message_len),
    };
    p->is_delivered = true;
    return WS_EVENT_MESSAGE;
}

static enum ws_event_kind read_data(struct ws_parser *p, struct slice bytes, struct ws_event *ret)
{
    bool is_whole =
        p->is_fin && !p->is_compressed && p->message_opcode == 0 && bytes.len == p->frame_len;

    if (p->frame_got == 0 && p->opcode != WS_CONTINUATION)
        p->message_opcode = p->opcode;
    enum ws_event_kind kind =
        p->is_compressed ? take_compressed(p, bytes, ret) : take_plain(p, bytes, is_whole, ret);
    if (kind != WS_EVENT_NONE)
        return kind;
    p->frame_got += bytes.len;
    p->wire_len += bytes.len;
    if (p->frame_got < p->frame_len)
        return WS_EVENT_NONE;

    p->state = WS_PARSER_HEAD;
    p->head_len = 0;
    p->fragments++;
    return p->is_fin ? finish_message(p, is_whole ? &bytes : NULL, ret) : WS_EVENT_NONE;
}

static enum ws_event_kind read_payload(struct ws_parser *p, uint8_t **data, size_t *len,
                                       struct ws_event *ret)
{
    uint8_t *start = *data;
    size_t n = p->frame_len - p->frame_got;

    if (n > *len)
        n = *len;
    if (p->is_compressed && !is_control(p) && n > WS_PIECE_MAX)
        n = WS_PIECE_MAX;
    ws_mask(start, n, frame_mask(p), p->frame_got);
    *data += n;
    *len -= n;
    return is_control(p) ? read_control(p, start, n, ret) : read_data(p, slice_of(start, n), ret);
}

enum ws_event_kind ws_parser_next(struct ws_parser *p, uint8_t **data, size_t *len,
                                  struct ws_event *ret)
{
    if (p->is_delivered)
        release_message(p);
    for (;;) {
        enum ws_event_kind kind = WS_EVENT_NONE;
        switch (p->state) {
        case WS_PARSER_HEAD:
            kind = read_head(p, data, len, ret);
            if (kind == WS_EVENT_NONE && p->state == WS_PARSER_HEAD)
                return kind;
            break;
        case WS_PARSER_PAYLOAD:
            kind = read_payload(p, data, len, ret);
            if (kind == WS_EVENT_NONE && p->state == WS_PARSER_PAYLOAD)
                return *len > 0 ? WS_EVENT_PIECE : WS_EVENT_NONE;
            break;
        case WS_PARSER_ENDED:
            *data += *len;
            *len = 0;
            return WS_EVENT_NONE;
        }
        if (kind != WS_EVENT_NONE)
            return kind;
    }
}

/* ---- frames of the server ---- */

static size_t frame_head_len(size_t payload_len)
{
    return payload_len < 126 ? 2 : payload_len <= 0xffff ? 4 : 10;
}

size_t ws_write_head(uint8_t first, size_t payload_len, uint8_t *out)
{
    size_t head = frame_head_len(payload_len);

    out[0] = first;
    out[1] = head == 2 ? (uint8_t)payload_len : head == 4 ? 126 : 127;
    for (size_t i = 2; i < head; i++)
        out[i] = (uint8_t)((uint64_t)payload_len >> 8 * (head - 1 - i));
    return head;
}

struct blob *ws_frame_new(enum ws_opcode opcode, size_t len, uint8_t **ret_payload)
{
    size_t head = frame_head_len(len);
    struct blob *b = blob_try_new(head + len);

    if (!b)
        return NULL;
    (void)ws_write_head(WS_FIN | opcode, len, b->data);
    *ret_payload = b->data + head;
    return b;
}

struct blob *ws_frame_begin(enum ws_opcode opcode, struct slice first, size_t rest)
{
    size_t head = frame_head_len(first.len + rest);
    struct blob *b = blob_new(head + first.len);

    (void)ws_write_head(WS_FIN | opcode, first.len + rest, b->data);
    memcpy(b->data + head, first.data, first.len);
    return b;
}

struct blob *ws_frame(enum ws_opcode opcode, struct slice payload)
{
    uint8_t *out;
    struct blob *b = ws_frame_new(opcode, payload.len, &out);

    if (!b)
        abort();
    if (payload.len > 0)
        memcpy(out, payload.data, payload.len);
    return b;
}

struct blob *ws_frame_close(uint16_t code, const char *reason)
{
    uint8_t payload[WS_CONTROL_MAX];
    size_t len = reason ? strnlen(reason, WS_REASON_MAX) : 0;

    if (code == WS_CLOSE_NONE)
        return ws_frame(WS_CLOSE, slice_of(NULL, 0));
    assert(ws_close_code_is_valid(code));
    payload[0] = (uint8_t)(code >> 8);
    payload[1] = (uint8_t)code;
    if (len > 0)
        memcpy(payload + 2, reason, len);
    return ws_frame(WS_CLOSE, slice_of(payload, 2 + len));
}
