#include "gateway/ysweet.h"

#include "common/loop.h"
#include "common/names.h"
#include "crdt/crdt.h"
#include "gateway/dialect.h"
#include "gateway/client_address.h"
#include "gateway/doc_token.h"
#include "gateway/exchange.h"
#include "gateway/reply.h"
#include "gateway/session.h"
#include "proto/proto.h"
#include "proto/refusal.h"

#include <jansson.h>
#include <errno.h>
#include <sys/random.h>

#define DOC_ID_BYTES 16u /* of randomness in a new document's name */

/* ---- names ---- */

static bool doc_is_valid(struct slice doc)
{
    for (size_t i = 0; i < doc.len; i++) {
        uint8_t c = doc.data[i];
        bool is_alnum = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
        if (!is_alnum && c != '_' && c != '-')
            return false;
    }
    return doc.len > 0 && doc.len <= NAME_MAX_BYTES;
}

static void refuse_name(struct conn *c, const struct http_request *req)
{
    reply_text(c, req, refusal_info(REFUSAL_BAD_NAME)->http_status, NULL,
               "a document's name is 1 to 255 of A-Z a-z 0-9 _ -");
}

static char *new_name(void)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t bytes[DOC_ID_BYTES];
    char *name = xcalloc(1, 2 * sizeof(bytes) + 1);

    if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
        log_panic("no random bytes");
    for (size_t i = 0; i < sizeof(bytes); i++) {
        name[2 * i] = digits[bytes[i] >> 4];
        name[2 * i + 1] = digits[bytes[i] & 15];
    }
    return name;
}

/* ---- who asks ---- */

/* An application, whose token may do everything in the document: who that is, a new reference. 0 or
 * a refusal. Where no keys are anybody is. */
static uint32_t find_application(const struct routes *r, const struct http_request *req,
                                 struct slice doc, struct principal **ret)
{
    struct principal *principal = NULL;

    if (!auth_origin_is_allowed(r->auth, req))
        return REFUSAL_FORBIDDEN;
    uint32_t refusal = auth_request(r->auth, req, false, &principal);
    if (refusal == 0 && auth_is_on(r->auth) && auth_access(r->auth, principal, doc) < ACCESS_ADMIN)
        refusal = REFUSAL_FORBIDDEN;
    if (refusal != 0) {
        principal_unref(principal);
        return refusal;
    }
    *ret = principal;
    return 0;
}

/* The only token that the request shows, in its header or its query; empty without one. The latter
 * is decoded into `buffer`. */
static struct slice shown_token(const struct http_request *req, uint8_t buffer[HTTP_HEAD_MAX])
{
    static const char scheme[] = "bearer ";
    struct slice header = http_header(req, "authorization");
    struct slice query = http_query_value(req->query, "token");
    size_t len = sizeof(scheme) - 1;

    if (http_header_count(req, "authorization") + (query.data != NULL) != 1)
        return slice_of(NULL, 0);
    if (query.data) {
        ssize_t decoded = http_percent_decode(query, buffer);
        return slice_of(buffer, decoded < 0 ? 0 : (size_t)decoded);
    }
    if (header.len <= len || strncasecmp((const char *)header.data, scheme, len) != 0)
        return slice_of(NULL, 0);
    return slice_of(header.data + len, header.len - len);
}

/* The name of a document has no character that means anything in a pattern. */
static struct principal *bearer_new(const struct doc_token *token)
{
    char *doc CLEANUP_FREE = xasprintf("%.*s", (int)token->doc.len, (const char *)token->doc.data);
    struct principal *p = principal_new(token->tenant, token->user, doc, token->access);

    p->issued_s = token->issued_s;
    p->expires_s = token->expires_s;
    return p;
}

/* The bearer of a document's token. */
static uint32_t find_bearer(const struct routes *r, struct slice text, struct slice doc,
                            struct principal **ret)
{
    uint8_t buffer[DOC_TOKEN_BYTES_MAX];
    struct doc_token token;
    int e = doc_token_read(blob_slice(r->doc_key), text, wall_now_ms() / 1000, buffer, &token);

    if (e < 0)
        return e == -EKEYEXPIRED ? REFUSAL_EXPIRED : REFUSAL_UNAUTHORIZED;
    if (!slice_equal(token.doc, doc))
        return REFUSAL_FORBIDDEN;
    *ret = bearer_new(&token);
    return 0;
}

static uint32_t find_user(const struct routes *r, const struct http_request *req, struct slice doc,
                          struct principal **ret)
{
    uint8_t buffer[HTTP_HEAD_MAX];
    struct slice token = shown_token(req, buffer);

    if (!auth_origin_is_allowed(r->auth, req))
        return REFUSAL_FORBIDDEN;
    if (doc_token_is(token))
        return find_bearer(r, token, doc, ret);
    return auth_request(r->auth, req, false, ret);
}

/* Is the client let into the document, with at least this access? Then `*ret` is filled, its
 * principal a new reference; otherwise it was answered. */
static bool admit(const struct routes *r, struct conn *c, const struct http_request *req,
                  struct slice doc, enum access least, struct admission *ret)
{
    struct principal *principal = NULL;
    enum access access = ACCESS_NONE;

    if (!doc_is_valid(doc)) {
        refuse_name(c, req);
        return false;
    }
    uint32_t refusal = find_user(r, req, doc, &principal);
    if (refusal == 0)
        access = auth_access(r->auth, principal, doc);
    if (refusal == 0 && access < least)
        refusal = access == ACCESS_NONE ? REFUSAL_FORBIDDEN : REFUSAL_READ_ONLY;
    if (refusal != 0) {
        principal_unref(principal);
        reply_refusal(c, req, refusal);
        return false;
    }
    *ret = (struct admission){.principal = principal, .access = access, .room = doc};
    return true;
}

/* ---- what an application asks ---- */

/* The object that is the request's body; nothing reads as an empty one. NULL if it is none. */
static json_t *read_body(const struct http_request *req)
{
    if (req->body.len == 0)
        return json_object();
    json_t *body =
        json_loadb((const char *)req->body.data, req->body.len, JSON_REJECT_DUPLICATES, NULL);
    if (json_is_object(body))
        return body;
    json_decref(body);
    return NULL;
}

/* A member that is a text or not there: false if it is anything else. */
static bool read_text(const json_t *body, const char *name, const char **ret)
{
    const json_t *value = json_object_get(body, name);

    if (!value || json_is_null(value))
        return true;
    *ret = json_string_value(value);
    return *ret && strlen(*ret) == json_string_length(value);
}

/* Answers with an object, and consumes it. */
static void reply_json(struct conn *c, json_t *object)
{
    char *text CLEANUP_FREE = json_dumps(object, JSON_COMPACT);

    if (!text)
        log_panic("no memory for an answer");
    reply_bytes(c, 200, "application/json", slice_str(text));
    json_decref(object);
}

void ysweet_new(const struct routes *r, struct conn *c, const struct http_request *req,
                struct slice name)
{
    json_t *body = read_body(req);
    char *made CLEANUP_FREE = new_name();
    const char *doc = made;
    struct principal *application = NULL;
    uint32_t refusal = REFUSAL_BAD_REQUEST;

    (void)name;
    bool is_sound = body && read_text(body, "docId", &doc);
    bool is_named = is_sound && doc_is_valid(slice_str(doc));
    if (is_named)
        refusal = find_application(r, req, slice_str(doc), &application);
    if (is_sound && !is_named)
        refuse_name(c, req);
    else if (refusal != 0)
        reply_refusal(c, req, refusal);
    else
        reply_json(c, json_pack("{s:s}", "docId", doc));
    principal_unref(application);
    json_decref(body);
}

/* What a token shall allow. */
struct wish {
    const char *authorization;
    const char *user;
    uint64_t valid_s;
};

static bool read_wish(const json_t *body, struct wish *ret)
{
    const json_t *valid = json_object_get(body, "validForSeconds");
    bool is_forever = !valid || json_is_null(valid);
    json_int_t valid_s = is_forever ? YSWEET_TOKEN_S : json_integer_value(valid);

    *ret = (struct wish){.authorization = "full", .user = ""};
    if (!read_text(body, "authorization", &ret->authorization) ||
        !read_text(body, "userId", &ret->user) || strlen(ret->user) > NAME_MAX_BYTES)
        return false;
    ret->valid_s =
        valid_s > (json_int_t)YSWEET_TOKEN_MAX_S ? YSWEET_TOKEN_MAX_S : (uint64_t)valid_s;
    return valid_s > 0 && (strcmp(ret->authorization, "full") == 0 ||
                           strcmp(ret->authorization, "read-only") == 0);
}

static char *mint(const struct routes *r, const struct principal *application, struct slice doc,
                  const struct wish *wish)
{
    uint64_t now_s = wall_now_ms() / 1000;
    struct doc_token token = {
        .issued_s = now_s,
        .expires_s = now_s + wish->valid_s,
        .access = strcmp(wish->authorization, "full") == 0 ? ACCESS_WRITE : ACCESS_READ,
        .tenant = slice_str(application->tenant),
        .doc = doc,
        .user = slice_str(wish->user),
    };

    return doc_token_mint(blob_slice(r->doc_key), &token);
}

static void reply_token(struct conn *c, const struct http_request *req, struct slice doc,
                        const struct wish *wish, const char *token)
{
    struct slice host = http_header(req, "host");
    const char *tls = conn_address(c)->is_secure ? "s" : "";
    char *place CLEANUP_FREE =
        xasprintf("%s://%.*s/d/%.*s", tls, (int)host.len, (const char *)host.data, (int)doc.len,
                  (const char *)doc.data);
    char *url CLEANUP_FREE = xasprintf("ws%s/ws", place);
    char *base CLEANUP_FREE = xasprintf("http%s", place);
    json_t *answer =
        json_pack("{s:s, s:s, s:s%, s:s}", "url", url, "baseUrl", base, "docId",
                  (const char *)doc.data, doc.len, "authorization", wish->authorization);

    if (token)
        (void)json_object_set_new(answer, "token", json_string(token));
    reply_json(c, answer);
}

void ysweet_auth(const struct routes *r, struct conn *c, const struct http_request *req,
                 struct slice name)
{
    json_t *body = read_body(req);
    struct principal *application = NULL;
    struct wish wish;

    if (!doc_is_valid(name)) {
        refuse_name(c, req);
        json_decref(body);
        return;
    }
    bool is_sound = body && read_wish(body, &wish) && http_host_is_plain(http_header(req, "host"));
    uint32_t refusal =
        is_sound ? find_application(r, req, name, &application) : REFUSAL_BAD_REQUEST;
    if (refusal != 0) {
        reply_refusal(c, req, refusal);
    } else {
        char *token CLEANUP_FREE = auth_is_on(r->auth) ? mint(r, application, name, &wish) : NULL;
        reply_token(c, req, name, &wish, token);
    }
    principal_unref(application);
    json_decref(body);
}

/* ---- what a user asks ---- */

static void reply_document(struct conn *c, struct blob *update)
{
    struct http_answer answer = {
        .status = 200,
        .type = "application/octet-stream",
        .extra = "Cache-Control: no-store\r\n",
        .length = update->len,
    };

    conn_answer(c, &answer, update);
}

void ysweet_read(const struct routes *r, struct conn *c, const struct http_request *req,
                 struct slice name)
{
    struct admission admission;

    if (!admit(r, c, req, name, ACCESS_READ, &admission))
        return;
    exchange_read(r->links, c, &admission, reply_document);
    principal_unref(admission.principal);
}

void ysweet_update(const struct routes *r, struct conn *c, const struct http_request *req,
                   struct slice name)
{
    struct admission admission;

    if (!admit(r, c, req, name, ACCESS_WRITE, &admission))
        return;
    exchange_write(r->links, c, &admission, CRDT_V1, req->body);
    principal_unref(admission.principal);
}

/* NAME of NAME/ws/NAME, which the client makes of the URL that it is given; anything else as it is.
 */
static struct slice socket_name(struct slice path)
{
    static const char infix[] = "/ws/";
    size_t len = path.len > 4 ? (path.len - 4) / 2 : 0;
    bool is_repeated = path.len == 2 * len + 4 && memcmp(path.data + len, infix, 4) == 0 &&
                       memcmp(path.data, path.data + len + 4, len) == 0;

    return is_repeated ? slice_of(path.data, len) : path;
}

void ysweet_socket(const struct routes *r, struct conn *c, const struct http_request *req,
                   struct slice path)
{
    char accept[HTTP_ACCEPT_LEN + 1];
    struct slice name = socket_name(path);
    struct admission admission;

    unsigned status = http_check_websocket(req, accept);
    if (status != 101) {
        reply_status(c, req, status, "GET");
        return;
    }
    if (!admit(r, c, req, name, ACCESS_READ, &admission))
        return;
    session_start(r->links, c, accept, NULL, &dialect_ysweet, &admission,
                  &(struct session_params){0});
    principal_unref(admission.principal);
}
