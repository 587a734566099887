#include "gateway/json_check.h"

struct check {
    const uint8_t *pos;
    const uint8_t *end;
    uint64_t objects; /* bit n: what is open at depth n is an object, else an array */
    unsigned depth;
};

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* The next octet, 0 at the end: NUL stands nowhere in JSON. */
static uint8_t peek(const struct check *c)
{
    return c->pos < c->end ? *c->pos : 0;
}

static bool take(struct check *c, uint8_t expected)
{
    if (peek(c) != expected)
        return false;
    c->pos++;
    return true;
}

static void skip_space(struct check *c)
{
    while (c->pos < c->end &&
           (*c->pos == ' ' || *c->pos == '\t' || *c->pos == '\n' || *c->pos == '\r'))
        c->pos++;
}

static bool take_word(struct check *c, const char *word)
{
    size_t len = strlen(word);

    if ((size_t)(c->end - c->pos) < len || memcmp(c->pos, word, len) != 0)
        return false;
    c->pos += len;
    return true;
}

static bool take_digits(struct check *c)
{
    const uint8_t *start = c->pos;

    while (is_digit(peek(c)))
        c->pos++;
    return c->pos > start;
}

static bool take_number(struct check *c)
{
    (void)take(c, '-');
    if (!take(c, '0') && !take_digits(c))
        return false;
    if (take(c, '.') && !take_digits(c))
        return false;
    if ((peek(c) | 32) == 'e') {
        c->pos++;
        if (!take(c, '+'))
            (void)take(c, '-');
        return take_digits(c);
    }
    return true;
}

static bool take_escape(struct check *c)
{
    uint8_t kind = peek(c);

    if (kind == 0 || !strchr("\"\\/bfnrtu", kind))
        return false;
    c->pos++;
    for (int i = 0; kind == 'u' && i < 4; i++) {
        uint8_t hex = peek(c);
        if (!is_digit(hex) && !((hex | 32) >= 'a' && (hex | 32) <= 'f'))
            return false;
        c->pos++;
    }
    return true;
}

static bool take_string(struct check *c)
{
    if (!take(c, '"'))
        return false;
    while (c->pos < c->end) {
        uint8_t octet = *c->pos++;
        if (octet == '"')
            return true;
        if (octet < 0x20 || (octet == '\\' && !take_escape(c)))
            return false;
    }
    return false;
}

/* A member's name and the colon behind it. */
static bool take_name(struct check *c)
{
    skip_space(c);
    if (!take_string(c))
        return false;
    skip_space(c);
    return take(c, ':');
}

static void open_container(struct check *c, bool is_object)
{
    c->objects &= ~(UINT64_C(1) << c->depth);
    c->objects |= (uint64_t)is_object << c->depth;
    c->depth++;
}

static bool is_in_object(const struct check *c)
{
    return c->objects >> (c->depth - 1) & 1;
}

/* Takes a value that holds no others, or the beginning of one that does, up to its first element.
 * `*ret_is_open` tells which. */
static bool take_value(struct check *c, bool *ret_is_open)
{
    *ret_is_open = false;
    skip_space(c);
    switch (peek(c)) {
    case '{':
    case '[': {
        bool is_object = *c->pos++ == '{';
        if (c->depth == JSON_CHECK_DEPTH)
            return false;
        skip_space(c);
        if (take(c, is_object ? '}' : ']'))
            return true;
        *ret_is_open = true;
        open_container(c, is_object);
        return !is_object || take_name(c);
    }
    case '"':
        return take_string(c);
    case 't':
        return take_word(c, "true");
    case 'f':
        return take_word(c, "false");
    case 'n':
        return take_word(c, "null");
    default:
        return take_number(c);
    }
}

/* Behind a value: closes what ends here. True with depth 0 at the end, or at the next value. */
static bool take_ends(struct check *c)
{
    for (;;) {
        skip_space(c);
        if (c->depth == 0)
            return c->pos == c->end;
        if (take(c, ','))
            return !is_in_object(c) || take_name(c);
        if (!take(c, is_in_object(c) ? '}' : ']'))
            return false;
        c->depth--;
    }
}

bool json_check(struct slice text)
{
    struct check c = {.pos = text.data, .end = text.data + text.len};
    bool is_open;

    do {
        if (!take_value(&c, &is_open) || (!is_open && !take_ends(&c)))
            return false;
    } while (c.depth > 0);
    return true;
}
