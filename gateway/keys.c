#include "gateway/keys.h"

#include "common/log.h"

#include <openssl/err.h>

struct keys {
    struct jwk_set set;
};

int keys_load(const char *path, struct keys **ret)
{
    char problem[JWK_PROBLEM_MAX];
    struct jwk_set set;
    json_t *json = NULL;
    bool is_public = false;
    int r = jwk_file_read(path, &json, &is_public, problem);

    if (r == 0)
        r = jwk_set_parse(json, &set, problem);
    json_decref(json);
    ERR_clear_error(); /* it is for TLS to find its own errors there */
    if (r < 0) {
        log_error("keys: %s: %s", path, problem);
        return r;
    }
    if (is_public && set.has_secrets)
        log_warn("keys: %s: everybody on this host can read it, and make tokens", path);
    struct keys *keys = xcalloc(1, sizeof(*keys));
    keys->set = set;
    *ret = keys;
    return 0;
}

void keys_free(struct keys *keys)
{
    if (!keys)
        return;
    jwk_set_done(&keys->set);
    free(keys);
}

size_t keys_count(const struct keys *keys)
{
    return keys->set.count;
}

const struct jwk *keys_find(const struct keys *keys, struct slice kid)
{
    return jwk_set_find(&keys->set, kid);
}
