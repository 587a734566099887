#include "ctl/token.h"

#include "common/access.h"
#include "common/loop.h"
#include "common/names.h"
#include "ctl/arguments.h"
#include "ctl/output.h"
#include "ctl/token_key.h"
#include "ctl/token_sign.h"

#include <errno.h>

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define TTL_S        3600u
#define TTL_MAX_S    (10u * 365 * 24 * 3600)

/* What is wanted: one of three. */
enum form {
    MINT = 1u << 0,
    NEW_KEY = 1u << 1,
    PUBLISH = 1u << 2,
};

struct request {
    const char *keys;
    const char *new_key;
    const char *public_of;
    const char *kid;
    const char *subject;
    const char *tenant;
    const char *ttl;
    const char *audience;
    const char *issuer;
    struct option_list rooms;
};

#define OPT(name, value, field, scope, help)                                                       \
    {                                                                                              \
        name, NULL, value, offsetof(struct request, field), scope, help, false                     \
    }

static const struct option options[] = {
    OPT("--keys", "FILE", keys, MINT, "keys to sign with"),
    OPT("--kid", "ID", kid, MINT | NEW_KEY, "the key; needed if FILE has several"),
    OPT("--sub", "USER", subject, MINT, "whom the token is for"),
    OPT("--tenant", "TENANT", tenant, MINT, "whose rooms (default)"),
    {"--room", NULL, "PATTERN=ACCESS", offsetof(struct request, rooms), MINT,
     "read, write or admin; may be given again", true},
    OPT("--ttl", "SECONDS", ttl, MINT, "how long it is valid (3600)"),
    OPT("--aud", "AUDIENCE", audience, MINT, "the server's setting `audience`"),
    OPT("--iss", "ISSUER", issuer, MINT, "the server's setting `issuer`"),
    OPT("--new-key", "ALG", new_key, NEW_KEY, "print a new key: HS256, RS256 or ES256"),
    OPT("--public", "FILE", public_of, PUBLISH, "print what a server needs of these keys"),
};

static const struct option_table table = {.options = options, .count = ARRAY_LEN(options)};

static int misused(const char *why)
{
    (void)fprintf(stderr, "concordctl: %s; `concordctl token --help` tells more\n", why);
    return -EINVAL;
}

/* ---- forms ---- */

static int read_ttl(const char *text, uint32_t *ret_s)
{
    char *rest = NULL;

    if (!text) {
        *ret_s = TTL_S;
        return 0;
    }
    errno = 0;
    unsigned long n = strtoul(text, &rest, 10);
    if (text[0] < '0' || text[0] > '9' || *rest || errno || n == 0 || n > TTL_MAX_S)
        return misused("--ttl is 1 to 315360000 seconds");
    *ret_s = (uint32_t)n;
    return 0;
}

static bool is_name(const char *text)
{
    return name_is_valid(slice_str(text)) && !utf8_has_control(slice_str(text));
}

/* Adds `PATTERN=ACCESS`; a pattern may hold `=`. */
static int add_room(json_t *rooms, const char *text)
{
    const char *equals = strrchr(text, '=');
    enum access access;

    if (!equals || access_parse(slice_str(equals + 1), &access) < 0 || access == ACCESS_NONE)
        return misused("--room is PATTERN=read, =write or =admin");
    char *pattern CLEANUP_FREE = xasprintf("%.*s", (int)(equals - text), text);
    if (!name_is_valid(slice_str(pattern)))
        return misused("a pattern of --room has 1 to 255 bytes of UTF-8");
    if (json_object_get(rooms, pattern))
        return misused("a pattern is given twice");
    return json_object_set_new(rooms, pattern, json_string(access_name(access)));
}

/* Adds `value` if there is one. */
static int add_text(json_t *claims, const char *name, const char *value)
{
    if (!value)
        return 0;
    if (!is_name(value))
        return misused("names have 1 to 255 bytes of UTF-8 without control characters");
    return json_object_set_new(claims, name, json_string(value));
}

/* Newly allocated claims; NULL after a message. */
static char *make_claims(const struct request *q)
{
    uint64_t now_s = wall_now_ms() / 1000;
    json_t *claims = json_object();
    json_t *rooms = json_object();
    char *text = NULL;
    uint32_t ttl_s = 0;
    int r = read_ttl(q->ttl, &ttl_s);

    if (r == 0)
        r = add_text(claims, "sub", q->subject);
    if (r == 0)
        r = add_text(claims, "tenant", q->tenant);
    if (r == 0)
        r = add_text(claims, "aud", q->audience);
    if (r == 0)
        r = add_text(claims, "iss", q->issuer);
    for (size_t i = 0; i < q->rooms.count && r == 0; i++)
        r = add_room(rooms, q->rooms.values[i]);
    if (r == 0 && json_object_set_new(claims, "iat", json_integer((json_int_t)now_s)) == 0 &&
        json_object_set_new(claims, "exp", json_integer((json_int_t)(now_s + ttl_s))) == 0 &&
        json_object_set(claims, "rooms", rooms) == 0)
        text = json_dumps(claims, JSON_COMPACT);
    json_decref(rooms);
    json_decref(claims);
    return text;
}

/* Each appends to `out` and returns an exit status, after a message unless it is 0. */

static int mint(const struct request *q, struct buffer *out)
{
    struct signing_key key;
    char *claims CLEANUP_FREE = make_claims(q);

    if (!claims)
        return 2;
    if (signing_key_load(q->keys, q->kid, &key) < 0)
        return 1;
    int r = signing_key_sign(&key, claims, out);
    signing_key_done(&key);
    if (r == 0 && out->len > TOKEN_MAX) {
        (void)fprintf(stderr, "concordctl: the token would have more than %u bytes\n", TOKEN_MAX);
        r = -E2BIG;
    }
    buffer_append(out, "\n", 1);
    return r < 0 ? 1 : 0;
}

static int make_key(const struct request *q, struct buffer *out)
{
    enum jwk_alg alg;

    if (jwk_alg_parse(slice_str(q->new_key), &alg) < 0) {
        (void)misused("a key is for HS256, RS256 or ES256");
        return 2;
    }
    if (q->kid && !jwk_kid_is_valid(slice_str(q->kid))) {
        (void)misused("a --kid has 1 to 128 bytes of UTF-8 without control characters");
        return 2;
    }
    return token_key_new(alg, q->kid, out) < 0 ? 1 : 0;
}

static int publish(const struct request *q, struct buffer *out)
{
    return token_key_publish(q->public_of, out) < 0 ? 1 : 0;
}

/* ---- the command line ---- */

static bool is_given(const struct request *q, const struct option *o)
{
    const void *field = (const char *)q + o->offset;

    return o->is_list ? ((const struct option_list *)field)->count > 0
                      : *(const char *const *)field != NULL;
}

static int check(const struct request *q, const struct arguments *a, enum form form)
{
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        if (is_given(q, &options[i]) && !(options[i].scope & form)) {
            char *why CLEANUP_FREE = xasprintf("%s does not go with the others", options[i].name);
            return misused(why);
        }
    }
    if (a->name_count > 0)
        return misused("token takes options only");
    if (form == MINT && (!q->keys || !q->subject || q->rooms.count == 0))
        return misused("a token takes --keys, --sub and --room");
    return 0;
}

static int run(const struct request *q, const struct arguments *a)
{
    struct buffer out = {0};
    enum form form = q->new_key ? NEW_KEY : q->public_of ? PUBLISH : MINT;
    int status = check(q, a, form) < 0 ? 2
                 : form == NEW_KEY     ? make_key(q, &out)
                 : form == PUBLISH     ? publish(q, &out)
                                       : mint(q, &out);

    if (status == 0) {
        int r = output_write(NULL, buffer_slice(&out));
        if (r < 0)
            (void)fprintf(stderr, "concordctl: stdout: %s\n", strerror(-r));
        status = r < 0 ? 1 : 0;
    }
    if (out.data)
        explicit_bzero(out.data, out.cap);
    buffer_done(&out);
    return status;
}

int token_run(int argc, char **argv)
{
    static const unsigned every = MINT | NEW_KEY | PUBLISH;
    struct arguments a = {0};
    struct request q = {0};
    int status = 2;

    if (arguments_parse(&a, &table, every, &q, argc, argv) == 0) {
        if (a.wants_help) {
            token_print_help(stdout);
            status = 0;
        } else {
            status = run(&q, &a);
        }
    }
    free(q.rooms.values);
    arguments_done(&a);
    return status;
}

/* clang-format off */
static const char help_before[] =
    "usage: concordctl token --keys FILE --sub USER --room PATTERN=ACCESS… [options]\n"
    "       concordctl token --new-key ALG [--kid ID]\n"
    "       concordctl token --public FILE\n"
    "\n"
    "Prints a token: who somebody is and what they may do with which rooms. Or the keys that\n"
    "tokens are signed and checked with, as a JSON Web Key Set.\n"
    "\n"
    "Options:\n";

static const char help_behind[] =
    "\n"
    "In a pattern `*` stands for any characters, also none and also `/`, and `?` for one; of\n"
    "the patterns that fit a room the one that allows most counts.\n"
    "\n"
    "With HS256 the same secret makes tokens and checks them. Of RS256 and ES256 the server\n"
    "needs the public part only. A file of keys that holds more is a secret: keep it to\n"
    "yourself (umask 077).\n"
    "\n"
    "Exit status: 0; 1 if a file cannot be used or the result cannot be written; 2 if the\n"
    "command line is wrong.\n"
    "\n"
    "Examples:\n"
    "  concordctl token --new-key ES256 --kid 2026-01 > private.json\n"
    "  concordctl token --public private.json > keys.json\n"
    "  concordctl token --keys private.json --sub kerim --room 'docs/*=write' --ttl 600\n";
/* clang-format on */

void token_print_help(FILE *out)
{
    (void)fputs(help_before, out);
    arguments_print_options(&table, out);
    (void)fputs(help_behind, out);
}
