#include "gateway/revoke.h"

#include "common/loop.h"
#include "common/names.h"
#include "gateway/reply.h"
#include "gateway/room_link.h"
#include "proto/refusal.h"

#include <errno.h>
#include <jansson.h>

static const struct {
    const char *name;
    enum access access;
} levels[] = {{"none", ACCESS_NONE}, {"read", ACCESS_READ}, {"write", ACCESS_WRITE}};

/* The text of a member, which lives as long as the object; data is NULL if it is none. */
static struct slice member(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);

    return json_is_string(value) ? slice_of(json_string_value(value), json_string_length(value))
                                 : slice_of(NULL, 0);
}

static bool read_access(const json_t *object, enum access *ret)
{
    struct slice name = member(object, "access");

    *ret = ACCESS_NONE;
    if (!json_object_get(object, "access"))
        return true;
    for (size_t i = 0; name.data && i < sizeof(levels) / sizeof(levels[0]); i++) {
        if (slice_equal(name, slice_str(levels[i].name))) {
            *ret = levels[i].access;
            return true;
        }
    }
    return false;
}

/* Does what the body asks for. 0 or a refusal. */
static uint32_t apply(const struct routes *r, struct access_cap *cap, struct slice body)
{
    json_t *object = json_loadb((const char *)body.data, body.len, JSON_REJECT_DUPLICATES, NULL);
    uint32_t refusal = 0;

    cap->user = member(object, "user");
    if (!json_is_object(object) || !name_is_valid(cap->user) || !read_access(object, &cap->access))
        refusal = REFUSAL_BAD_REQUEST;
    else if (room_links_cap_access(r->links, cap) < 0)
        refusal = REFUSAL_UNAVAILABLE;
    json_decref(object);
    return refusal;
}

void revoke_handle(const struct routes *r, struct conn *c, const struct http_request *req,
                   struct slice encoded_room)
{
    uint8_t room[HTTP_HEAD_MAX];
    ssize_t room_len = routes_room_name(encoded_room, room);
    struct principal *principal = NULL;

    if (room_len < 0) {
        reply_refusal(c, req, REFUSAL_BAD_NAME);
        return;
    }
    struct slice name = slice_of(room, (size_t)room_len);
    uint32_t refusal = auth_request(r->auth, req, false, &principal);
    if (refusal == 0 && auth_access(r->auth, principal, name) < ACCESS_ADMIN)
        refusal = REFUSAL_FORBIDDEN;
    if (refusal == 0) {
        struct access_cap cap = {
            .tenant = slice_str(principal->tenant), .room = name, .issued_s = wall_now_ms() / 1000};
        refusal = apply(r, &cap, req->body);
    }
    principal_unref(principal);
    if (refusal != 0)
        reply_refusal(c, req, refusal);
    else
        reply_bytes(c, 200, "application/json", slice_str("{\"applied\":true}\n"));
}
