/*
 * Verifies tokens as a gateway does, for tests in other languages:
 *
 *     token_check KEYS AUDIENCE ISSUER [ROOM…]
 *
 * An empty audience or issuer is none. Reads a token a line and answers each with a line of JSON:
 * {"error": NAME}, or what the principal is and its access to each room.
 */
#include "gateway/keys.h"
#include "gateway/token.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static json_t *describe(const struct principal *p, char **rooms)
{
    json_t *access = json_object();

    for (; *rooms; rooms++) {
        enum access a = principal_access(p, slice_str(*rooms));
        (void)json_object_set_new(access, *rooms, json_string(access_name(a)));
    }
    return json_pack("{s:s, s:s, s:I, s:I, s:o}", "tenant", p->tenant, "subject", p->subject,
                     "issued", (json_int_t)p->issued_s, "expires", (json_int_t)p->expires_s,
                     "access", access);
}

static void answer(const struct keys *keys, const struct token_rules *rules, struct slice token,
                   char **rooms)
{
    struct principal *p = NULL;
    enum token_error error;
    json_t *json;

    if (token_verify(keys, rules, token, (uint64_t)time(NULL), &p, &error) == 0)
        json = describe(p, rooms);
    else
        json = json_pack("{s:s}", "error", token_error_name(error));
    (void)json_dumpf(json, stdout, JSON_COMPACT);
    (void)putchar('\n');
    json_decref(json);
    principal_unref(p);
}

int main(int argc, char **argv)
{
    struct keys *keys;
    char *line = NULL;
    size_t cap = 0;
    ssize_t len;

    if (argc < 4 || keys_load(argv[1], &keys) < 0)
        return 1;
    struct token_rules rules = {
        .audience = argv[2][0] ? argv[2] : NULL,
        .issuer = argv[3][0] ? argv[3] : NULL,
        .skew_s = TOKEN_SKEW_S,
    };
    while ((len = getline(&line, &cap, stdin)) > 0)
        answer(keys, &rules, slice_of(line, (size_t)len - (line[len - 1] == '\n')), argv + 4);
    free(line);
    keys_free(keys);
    return 0;
}
