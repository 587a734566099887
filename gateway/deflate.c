#include "gateway/deflate.h"

#include "gateway/http.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <zlib.h>

#define WINDOW_BITS 15
#define MEM_LEVEL   8
#define STEP_BYTES  (16u << 10) /* inflated at a time */
#define FLUSH_BYTES 16u         /* of an empty block behind a message, and more */
#define TAIL_BYTES  4u
#define AT_BLOCK    128 /* z_stream.data_type between two blocks, no bit being left */

static const uint8_t tail[TAIL_BYTES] = {0x00, 0x00, 0xff, 0xff};

/* ---- offers ---- */

static void skip_space(struct slice *s)
{
    while (s->len > 0 && (s->data[0] == ' ' || s->data[0] == '\t'))
        *s = slice_of(s->data + 1, s->len - 1);
}

/* Takes this octet and the space around it. */
static bool take_octet(struct slice *s, uint8_t octet)
{
    skip_space(s);
    if (s->len == 0 || s->data[0] != octet)
        return false;
    *s = slice_of(s->data + 1, s->len - 1);
    skip_space(s);
    return true;
}

static bool take_token(struct slice *s, struct slice *ret)
{
    size_t len = 0;

    while (len < s->len && http_octet_is_token(s->data[len]))
        len++;
    *ret = slice_of(s->data, len);
    *s = slice_of(s->data + len, s->len - len);
    return len > 0;
}

/* The value of a parameter, as far as one of ours could be as long. */
struct value {
    char text[4];
    size_t len;
};

static void add_octet(struct value *v, uint8_t octet)
{
    if (v->len < sizeof(v->text))
        v->text[v->len] = (char)octet;
    v->len++;
}

/* What is quoted must be a token without its quotes (RFC 6455, section 9.1). */
static bool take_quoted(struct slice *s, struct value *ret)
{
    size_t i = 1;

    for (; i < s->len && s->data[i] != '"'; i++) {
        if (s->data[i] == '\\')
            i++;
        if (i >= s->len || !http_octet_is_token(s->data[i]))
            return false;
        add_octet(ret, s->data[i]);
    }
    if (i >= s->len)
        return false;
    *s = slice_of(s->data + i + 1, s->len - i - 1);
    return ret->len > 0;
}

static bool take_value(struct slice *s, struct value *ret)
{
    struct slice token;

    if (s->len > 0 && s->data[0] == '"')
        return take_quoted(s, ret);
    if (!take_token(s, &token))
        return false;
    for (size_t i = 0; i < token.len; i++)
        add_octet(ret, token.data[i]);
    return true;
}

/* 8 to 15 without a leading zero; 0 for anything else. */
static unsigned window_bits(const struct value *v)
{
    if (v->len == 1 && (v->text[0] == '8' || v->text[0] == '9'))
        return (unsigned)(v->text[0] - '0');
    if (v->len == 2 && v->text[0] == '1' && v->text[1] >= '0' && v->text[1] <= '5')
        return 10u + (unsigned)(v->text[1] - '0');
    return 0;
}

enum param {
    PARAM_SERVER_NO_TAKEOVER,
    PARAM_CLIENT_NO_TAKEOVER,
    PARAM_SERVER_BITS,
    PARAM_CLIENT_BITS,
    PARAM_COUNT,
};

static const char *const param_names[PARAM_COUNT] = {
    "server_no_context_takeover",
    "client_no_context_takeover",
    "server_max_window_bits",
    "client_max_window_bits",
};

struct offer {
    bool is_ours;
    bool is_declined;
    unsigned params; /* bit n: enum param */
};

/* `v` is NULL without a value. */
static bool param_is_met(enum param param, const struct value *v)
{
    switch (param) {
    case PARAM_SERVER_NO_TAKEOVER:
    case PARAM_CLIENT_NO_TAKEOVER:
        return !v;
    case PARAM_SERVER_BITS:
        return v && window_bits(v) == WINDOW_BITS;
    case PARAM_CLIENT_BITS:
        return !v || window_bits(v) != 0;
    case PARAM_COUNT:
        break;
    }
    return false;
}

static void add_param(struct offer *offer, struct slice name, const struct value *v)
{
    unsigned param = 0;

    while (param < PARAM_COUNT && !slice_equal(name, slice_str(param_names[param])))
        param++;
    if (offer->params & 1u << param || !param_is_met((enum param)param, v))
        offer->is_declined = true;
    offer->params |= 1u << param;
}

/* One element of the list. False: it is malformed. */
static bool take_offer(struct slice *s, struct offer *ret)
{
    struct slice name;

    if (!take_token(s, &name))
        return false;
    *ret = (struct offer){.is_ours = slice_equal(name, slice_str("permessage-deflate"))};
    while (take_octet(s, ';')) {
        struct value value = {0};
        struct slice param;
        if (!take_token(s, &param))
            return false;
        bool has_value = take_octet(s, '=');
        if (has_value && !take_value(s, &value))
            return false;
        add_param(ret, param, has_value ? &value : NULL);
    }
    return true;
}

/* One header. `*found` is set by the first offer that can be met. False: it is malformed. */
static bool read_offers(struct slice s, struct offer *found)
{
    bool is_first = true;

    for (;;) {
        struct offer offer;
        bool has_comma = false;
        while (take_octet(&s, ','))
            has_comma = true;
        if (s.len == 0)
            return true;
        if ((!is_first && !has_comma) || !take_offer(&s, &offer))
            return false;
        if (!found->is_ours && offer.is_ours && !offer.is_declined)
            *found = offer;
        is_first = false;
    }
}

const char *deflate_negotiate(const struct http_request *req)
{
    struct offer found = {0};

    for (size_t i = 0; i < req->header_count; i++)
        if (http_header_is(&req->headers[i], "sec-websocket-extensions") &&
            !read_offers(req->headers[i].value, &found))
            return NULL;
    if (!found.is_ours)
        return NULL;
    if (found.params & 1u << PARAM_SERVER_BITS)
        return "permessage-deflate; server_no_context_takeover; client_no_context_takeover; "
               "server_max_window_bits=15";
    return "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
}

/* ---- life ---- */

struct inflater {
    struct deflate *owner;
    z_stream z;
    bool is_at_end; /* a message may end here */
};

struct deflate {
    z_stream z;
    struct inflater *spare;
    uint8_t step[STEP_BYTES];
};

struct deflate *deflate_new(void)
{
    struct deflate *d = xcalloc(1, sizeof(*d));

    if (deflateInit2(&d->z, Z_BEST_SPEED, Z_DEFLATED, -WINDOW_BITS, MEM_LEVEL,
                     Z_DEFAULT_STRATEGY) != Z_OK)
        abort();
    return d;
}

static void destroy(struct inflater *i)
{
    (void)inflateEnd(&i->z);
    free(i);
}

void deflate_free(struct deflate *d)
{
    if (!d)
        return;
    if (d->spare)
        destroy(d->spare);
    (void)deflateEnd(&d->z);
    free(d);
}

/* ---- inflating ---- */

struct inflater *inflater_new(struct deflate *d)
{
    struct inflater *i = TAKE_PTR(d->spare);

    if (i) {
        (void)inflateReset(&i->z);
        i->is_at_end = false;
        return i;
    }
    i = try_alloc(sizeof(*i));
    if (!i)
        return NULL;
    *i = (struct inflater){.owner = d};
    if (inflateInit2(&i->z, -WINDOW_BITS) != Z_OK) {
        free(i);
        return NULL;
    }
    return i;
}

void inflater_free(struct inflater *i)
{
    if (!i)
        return;
    if (i->owner->spare)
        destroy(i);
    else
        i->owner->spare = i;
}

struct slice inflater_tail(void)
{
    return slice_of(tail, sizeof(tail));
}

/* Calls zlib once. A stream that ends is followed by another one, for whoever marks the last block
 * of a message as final (section 7.2.3.4). */
static int inflate_once(struct inflater *i, struct slice *in)
{
    uInt len = in->len < UINT_MAX ? (uInt)in->len : UINT_MAX;

    i->z.next_in = (Bytef *)(uintptr_t)in->data;
    i->z.avail_in = len;
    int r = inflate(&i->z, Z_NO_FLUSH);
    *in = slice_of(in->data + (len - i->z.avail_in), in->len - (len - i->z.avail_in));
    switch (r) {
    case Z_STREAM_END:
        i->is_at_end = true;
        return inflateReset(&i->z) == Z_OK ? 1 : -EBADMSG;
    case Z_OK:
    case Z_BUF_ERROR: /* nothing to do without more input */
        i->is_at_end = i->z.data_type == AT_BLOCK;
        return 0;
    case Z_MEM_ERROR:
        return -ENOMEM;
    default:
        i->is_at_end = false;
        return -EBADMSG;
    }
}

int inflater_next(struct inflater *i, struct slice *in, struct slice *ret)
{
    int r = 1;

    i->z.next_out = i->owner->step;
    i->z.avail_out = STEP_BYTES;
    while (r > 0 && (in->len > 0 || !i->is_at_end))
        r = inflate_once(i, in);
    *ret = slice_of(i->owner->step, STEP_BYTES - i->z.avail_out);
    /* What comes before an error is given out first, as if it had come alone; zlib says it again.
     */
    return r < 0 && ret->len == 0 ? r : 0;
}

bool inflater_is_complete(const struct inflater *i)
{
    return i->is_at_end;
}

/* ---- compressing ---- */

size_t deflate_bound(struct deflate *d, size_t len)
{
    return deflateBound(&d->z, len) + FLUSH_BYTES;
}

/* Returns whether all of the part was taken. */
static bool compress_part(struct deflate *d, struct slice part, int flush)
{
    d->z.next_in = (Bytef *)(uintptr_t)part.data;
    d->z.avail_in = (uInt)part.len;
    int r = deflate(&d->z, flush);
    return (r == Z_OK || r == Z_BUF_ERROR) && d->z.avail_in == 0 && d->z.avail_out > 0;
}

size_t deflate_message(struct deflate *d, const struct slice *parts, size_t count, uint8_t *out)
{
    bool is_done = true;
    size_t cap = 0;

    for (size_t i = 0; i < count; i++)
        cap += parts[i].len;
    cap = deflate_bound(d, cap);
    if (cap > UINT_MAX || deflateReset(&d->z) != Z_OK)
        return 0;
    d->z.next_out = out;
    d->z.avail_out = (uInt)cap;
    for (size_t i = 0; is_done && i < count; i++)
        is_done = compress_part(d, parts[i], Z_NO_FLUSH);
    if (!is_done || !compress_part(d, slice_of(NULL, 0), Z_SYNC_FLUSH))
        return 0;
    /* It ends in an empty block, of which the last bytes are not sent (section 7.2.1). */
    size_t len = cap - d->z.avail_out;
    assert(len > TAIL_BYTES && memcmp(out + len - TAIL_BYTES, tail, TAIL_BYTES) == 0);
    return len - TAIL_BYTES;
}
