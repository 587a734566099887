#include "common/ack_level.h"

#include "common/names.h"
#include "common/pattern.h"

#include <ctype.h>
#include <errno.h>

static struct slice trim(struct slice s)
{
    while (s.len > 0 && isspace(s.data[0]))
        s = slice_of(s.data + 1, s.len - 1);
    while (s.len > 0 && isspace(s.data[s.len - 1]))
        s.len--;
    return s;
}

static int read_level(struct slice word, enum ack_level *ret)
{
    if (slice_equal(word, slice_str("stored")))
        *ret = ACK_STORED;
    else if (slice_equal(word, slice_str("room")))
        *ret = ACK_ROOM;
    else
        return -EINVAL;
    return 0;
}

/* One rule: 1 if it fits the room, 0 if it does not, or -EINVAL. */
static int read_rule(struct slice rule, struct slice room, enum ack_level *ret)
{
    const uint8_t *equals = memrchr(rule.data, '=', rule.len);

    if (!equals)
        return read_level(trim(rule), ret) < 0 ? -EINVAL : 1;
    struct slice pattern = trim(slice_of(rule.data, (size_t)(equals - rule.data)));
    struct slice word = trim(slice_of(equals + 1, rule.len - (size_t)(equals + 1 - rule.data)));
    if (pattern.len == 0 || pattern.len > NAME_MAX_BYTES || read_level(word, ret) < 0)
        return -EINVAL;
    return pattern_fits(pattern, room);
}

int ack_level_of(const char *rules, struct slice room, enum ack_level *ret_level)
{
    enum ack_level level = ACK_STORED;
    bool is_found = false;

    for (const char *at = rules, *end; at; at = *end ? end + 1 : NULL) {
        enum ack_level of_rule;
        end = strchrnul(at, ',');
        int r = read_rule(slice_of(at, (size_t)(end - at)), room, &of_rule);
        if (r < 0)
            return r;
        if (r > 0 && !is_found)
            level = of_rule;
        is_found = is_found || r > 0;
    }
    *ret_level = level;
    return 0;
}
