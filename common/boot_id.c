#include "common/boot_id.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define BOOT_ID_PATH "/proc/sys/kernel/random/boot_id"
#define TEXT_LEN     36u /* 32 hexadecimal digits with four dashes in between */

static int digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) : -1;
}

static int parse(const char *text, struct boot_id *ret_id)
{
    struct boot_id id = {0};
    size_t digits = 0;

    for (size_t i = 0; i < TEXT_LEN; i++) {
        if (text[i] == '-')
            continue;
        int d = digit(text[i]);
        if (d < 0 || digits == 2 * sizeof(id.bytes))
            return -EBADMSG;
        id.bytes[digits / 2] = (uint8_t)(id.bytes[digits / 2] << 4 | d);
        digits++;
    }
    if (digits != 2 * sizeof(id.bytes))
        return -EBADMSG;
    *ret_id = id;
    return 0;
}

int boot_id_read(struct boot_id *ret_id)
{
    char text[TEXT_LEN];
    int fd CLEANUP_FD = open(BOOT_ID_PATH, O_RDONLY | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT) {
        *ret_id = (struct boot_id){0};
        return 0;
    }
    if (fd < 0)
        return -errno;
    ssize_t n = read(fd, text, sizeof(text));
    if (n < 0)
        return -errno;
    return n == sizeof(text) ? parse(text, ret_id) : -EBADMSG;
}
