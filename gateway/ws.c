#include "gateway/ws.h"

#include <assert.h>

#define FIN           0x80
#define RSV           0x70
#define MASKED        0x80
#define MESSAGE_START 4096u /* bytes first allocated for a message that comes in pieces */

void ws_parser_init(struct ws_parser *p, size_t message_max)
{
    *p = (struct ws_parser){.message_max = message_max};
}

static void release_message(struct ws_parser *p)
{
    free(p->message);
    p->message = NULL;
    p->message_len = p->message_cap = 0;
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
    return p->state == WS_PARSER_PAYLOAD || p->head_len > 0 ||
           (p->message_opcode != 0 && !p->is_delivered);
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

/* ---- header ---- */

static enum ws_event_kind check_first_octet(struct ws_parser *p, struct ws_event *ret)
{
    p->is_fin = p->head[0] & FIN;
    p->opcode = p->head[0] & 0x0f;
    if (p->head[0] & RSV)
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
        if (len > p->message_max - p->message_len)
            return fail(p, ret, WS_CLOSE_TOO_LARGE, "the message is over the size limit");
        if (p->fragments >= WS_FRAGMENTS)
            return fail(p, ret, WS_CLOSE_POLICY, "too many fragments");
    }
    p->frame_len = (size_t)len;
    p->frame_got = 0;
    return WS_EVENT_NONE;
}

/* Takes header octets, each checked as soon as it is there. NONE: look at `state`. */
static enum ws_event_kind read_head(struct ws_parser *p, uint8_t **data, size_t *len,
                                    struct ws_event *ret)
{
    while (*len > 0) {
        enum ws_event_kind kind = WS_EVENT_NONE;
        p->head[p->head_len++] = **data;
        (*data)++;
        (*len)--;
        if (p->head_len == 1)
            kind = check_first_octet(p, ret);
        else if (p->head_len == 2)
            kind = check_second_octet(p, ret);
        if (kind == WS_EVENT_NONE && p->head_len >= 2 && p->head_len == 2 + length_bytes(p))
            kind = check_length(p, ret);
        if (kind != WS_EVENT_NONE)
            return kind;
        if (p->head_len > 2 && p->head_len == 2 + length_bytes(p) + 4) {
            p->state = WS_PARSER_PAYLOAD;
            return WS_EVENT_NONE;
        }
    }
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
        if (cap > p->message_max)
            cap = p->message_max;
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

static enum ws_event_kind read_data(struct ws_parser *p, uint8_t *data, size_t len,
                                    struct ws_event *ret)
{
    bool is_whole = p->is_fin && p->message_opcode == 0 && len == p->frame_len;

    if (p->frame_got == 0 && p->opcode != WS_CONTINUATION)
        p->message_opcode = p->opcode;
    if (p->message_opcode == WS_TEXT && utf8_stream_feed(&p->utf8, slice_of(data, len)) < len)
        return fail(p, ret, WS_CLOSE_BAD_DATA, "the text is not UTF-8");
    if (!is_whole && !append(p, data, len))
        return fail(p, ret, WS_CLOSE_TRY_LATER, "out of memory");
    p->frame_got += len;
    if (p->frame_got < p->frame_len)
        return WS_EVENT_NONE;

    p->state = WS_PARSER_HEAD;
    p->head_len = 0;
    p->fragments++;
    if (!p->is_fin)
        return WS_EVENT_NONE;
    if (!utf8_stream_is_complete(&p->utf8))
        return fail(p, ret, WS_CLOSE_BAD_DATA, "the text ends inside a character");
    *ret = (struct ws_event){
        .is_text = p->message_opcode == WS_TEXT,
        .payload = is_whole ? slice_of(data, len) : slice_of(p->message, p->message_len),
    };
    p->is_delivered = true;
    return WS_EVENT_MESSAGE;
}

static enum ws_event_kind read_payload(struct ws_parser *p, uint8_t **data, size_t *len,
                                       struct ws_event *ret)
{
    uint8_t *start = *data;
    size_t n = p->frame_len - p->frame_got;

    if (n > *len)
        n = *len;
    ws_mask(start, n, frame_mask(p), p->frame_got);
    *data += n;
    *len -= n;
    return is_control(p) ? read_control(p, start, n, ret) : read_data(p, start, n, ret);
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
                return kind;
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

static void write_frame_head(enum ws_opcode opcode, size_t payload_len, uint8_t *out)
{
    size_t head = frame_head_len(payload_len);

    out[0] = (uint8_t)(FIN | opcode);
    out[1] = head == 2 ? (uint8_t)payload_len : head == 4 ? 126 : 127;
    for (size_t i = 2; i < head; i++)
        out[i] = (uint8_t)((uint64_t)payload_len >> 8 * (head - 1 - i));
}

struct blob *ws_frame_new(enum ws_opcode opcode, size_t len, uint8_t **ret_payload)
{
    size_t head = frame_head_len(len);
    struct blob *b = blob_try_new(head + len);

    if (!b)
        return NULL;
    write_frame_head(opcode, len, b->data);
    *ret_payload = b->data + head;
    return b;
}

struct blob *ws_frame_begin(enum ws_opcode opcode, struct slice first, size_t rest)
{
    size_t head = frame_head_len(first.len + rest);
    struct blob *b = blob_new(head + first.len);

    write_frame_head(opcode, first.len + rest, b->data);
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
