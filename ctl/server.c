#include "ctl/server.h"

#include <errno.h>
#include <string.h>

static const char *find_setting(char **settings, int count, const char *name)
{
    size_t len = strlen(name);
    const char *value = NULL;

    for (int i = 0; i < count; i++) {
        if (strncmp(settings[i], name, len) != 0)
            continue;
        if (settings[i][len] == '=')
            value = settings[i] + len + 1;
        else if (settings[i][len] == '\0' && i + 1 < count)
            value = settings[i + 1];
    }
    return value;
}

int server_find(char **settings, int count, struct config *config)
{
    const char *data = find_setting(settings, count, "--data");
    int rest;

    data = data ? data : "./data";
    if (!find_setting(settings, count, "--run") && !find_setting(settings, count, "--config") &&
        access(data, F_OK) < 0) {
        int r = -errno;
        (void)fprintf(stderr, "concordctl: %s: %s; which server? --data DIR says it\n", data,
                      strerror(-r));
        return r;
    }
    return config_parse(config, count, settings, &rest);
}
