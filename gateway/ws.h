/*
 * ws: the framing of RFC 6455, for a server; no socket, no clock. The parser is fed with what was
 * read and yields one event a call. It unmasks in place, keeps memory only for what is incomplete,
 * and fails at the first octet that breaks a rule, however the octets are cut.
 *
 * Frames of a server are not masked, so one blob (header and payload) serves every recipient.
 */
#pragma once

#include "common/blob.h"
#include "common/memory.h"
#include "gateway/utf8_stream.h"

struct deflate;
struct inflater;

/* The bits beside the opcode in a frame's first octet. */
#define WS_FIN  0x80u
#define WS_RSV  0x70u
#define WS_RSV1 0x40u /* of a message's first frame: it is compressed (RFC 7692, section 6) */

enum ws_opcode {
    WS_CONTINUATION = 0,
    WS_TEXT = 1,
    WS_BINARY = 2,
    WS_CLOSE = 8,
    WS_PING = 9,
    WS_PONG = 10,
};

/* Close codes (section 7.4.1 and the IANA registry). */
enum ws_close {
    WS_CLOSE_NORMAL = 1000,
    WS_CLOSE_GOING_AWAY = 1001,
    WS_CLOSE_PROTOCOL = 1002,
    WS_CLOSE_KIND = 1003,
    WS_CLOSE_NONE = 1005, /* never sent: the close frame had no code */
    WS_CLOSE_BAD_DATA = 1007,
    WS_CLOSE_POLICY = 1008,
    WS_CLOSE_TOO_LARGE = 1009,
    WS_CLOSE_RESTART = 1012,
    WS_CLOSE_TRY_LATER = 1013,
};

#define WS_HEAD_MAX    14u  /* bytes of a frame's header */
#define WS_PIECE_MAX   256u /* of a compressed message, which may become a thousand times as much */
#define WS_CONTROL_MAX 125u /* payload bytes of a control frame */
#define WS_REASON_MAX  123u /* of them for the text of a close frame */

enum ws_event_kind {
    WS_EVENT_NONE,  /* all bytes were taken, more are needed */
    WS_EVENT_PIECE, /* some of a compressed message was taken; the rest may wait */
    WS_EVENT_MESSAGE,
    WS_EVENT_PING,
    WS_EVENT_PONG,
    WS_EVENT_CLOSE, /* the peer closes; what follows is ignored */
    WS_EVENT_FAIL,  /* close with `code` and `reason`; what follows is ignored */
};

struct ws_event {
    bool is_text;
    uint16_t code;        /* CLOSE: the peer's, or WS_CLOSE_NONE; FAIL: ours */
    const char *reason;   /* FAIL */
    struct slice payload; /* MESSAGE, PING, PONG; borrowed until the next call */
};

enum ws_parser_state {
    WS_PARSER_HEAD,    /* in a frame's header */
    WS_PARSER_PAYLOAD, /* in a frame's payload */
    WS_PARSER_ENDED,   /* closed or failed */
};

struct ws_limits {
    size_t message_bytes; /* of a message, inflated */
    uint32_t fragments;   /* of a message */
};

struct ws_parser {
    enum ws_parser_state state;
    struct ws_limits limits;
    struct deflate *deflate; /* NULL: compression was not agreed on */
    uint64_t frames;         /* whose header was good */
    uint64_t control_frames; /* of them */
    uint64_t inflated;       /* bytes that compressed messages became */

    uint8_t head[WS_HEAD_MAX];
    uint8_t head_len;
    bool is_fin;
    uint8_t opcode; /* enum ws_opcode of the frame */
    size_t frame_len;
    size_t frame_got;

    uint8_t message_opcode; /* WS_TEXT or WS_BINARY inside a message, else 0 */
    bool is_compressed;     /* the message, or the last one */
    bool is_delivered;      /* `message` was given out by the last call */
    uint32_t fragments;
    size_t wire_len; /* payload bytes received of an incomplete message, compressed if it is */
    struct utf8_stream utf8;
    struct inflater *inflater; /* only inside a compressed message */
    uint8_t *message;          /* what was received of an incomplete message, inflated */
    size_t message_len;
    size_t message_cap;
    uint8_t control[WS_CONTROL_MAX];
};

/* `deflate` (borrowed) lets messages be compressed; NULL: they must not be. */
void ws_parser_init(struct ws_parser *p, const struct ws_limits *limits, struct deflate *deflate);
void ws_parser_done(struct ws_parser *p);

/* Takes bytes from `*data`, which it moves on and writes into, up to the next event. */
enum ws_event_kind ws_parser_next(struct ws_parser *p, uint8_t **data, size_t *len,
                                  struct ws_event *ret);

/* Is there an incomplete message or frame? */
bool ws_parser_is_midway(const struct ws_parser *p);
/* Bytes held for what is incomplete. */
size_t ws_parser_held_bytes(const struct ws_parser *p);

/* May this code stand in a close frame on the wire? */
bool ws_close_code_is_valid(uint16_t code);

/* Undoes or applies a client's mask, whose first octet meets the first byte at `phase` 0. */
void ws_mask(uint8_t *data, size_t len, const uint8_t mask[4], size_t phase);

/* Writes the header of a frame that is not masked. `first`: FIN, reserved bits and opcode. Returns
 * its length, at most WS_HEAD_MAX. */
size_t ws_write_head(uint8_t first, size_t payload_len, uint8_t *out);

/* A new frame whose payload of `len` bytes the caller fills in; NULL without memory. */
struct blob *ws_frame_new(enum ws_opcode opcode, size_t len, uint8_t **ret_payload);
/* The begin of a new frame: its header and the first bytes of a payload of which `rest` more follow
 * in another blob. For few bytes: aborts without memory. */
struct blob *ws_frame_begin(enum ws_opcode opcode, struct slice first, size_t rest);
/* A new frame with these bytes, for small payloads: aborts without memory. */
struct blob *ws_frame(enum ws_opcode opcode, struct slice payload);
/* A new close frame; `reason` is cut at WS_REASON_MAX. WS_CLOSE_NONE gives an empty one. */
struct blob *ws_frame_close(uint16_t code, const char *reason);
