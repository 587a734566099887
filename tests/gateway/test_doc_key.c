/* The key of document tokens: made once for all gateways of a host, readable by nobody else. */
#include "gateway/doc_key.h"

#include "common/config.h"
#include "gateway/doc_token.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define GATEWAYS 8

static char dir[] = "/tmp/concord-doc-key-XXXXXX";
static char path[64];
static struct config config = {.run = dir, .doc_token_key = ""};

static void make_dir(void)
{
    cr_assert(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/token.key", dir);
}

static void remove_dir(void)
{
    char *command CLEANUP_FREE = xasprintf("rm -r %s", dir);

    cr_expect(system(command) == 0);
}

TestSuite(doc_key, .init = make_dir, .fini = remove_dir);

static struct blob *load(void)
{
    struct blob *key = NULL;

    cr_assert(doc_key_load(&config, &key) == 0);
    return key;
}

static int fail(void)
{
    struct blob *key = NULL;
    int r = doc_key_load(&config, &key);

    cr_expect(!key);
    return r;
}

static void write_key(const char *where, size_t len, mode_t mode)
{
    int fd = open(where, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    char bytes[2048] = {0};

    cr_assert(fd >= 0 && fchmod(fd, mode) == 0);
    cr_assert(write(fd, bytes, len) == (ssize_t)len);
    (void)close(fd);
}

Test(doc_key, it_is_made_once)
{
    struct blob *first = load(), *second = load();
    struct stat st;

    cr_expect(first->len == DOC_TOKEN_KEY_MIN);
    cr_expect(slice_equal(blob_slice(first), blob_slice(second)));
    cr_assert(stat(path, &st) == 0);
    cr_expect((st.st_mode & 0777) == 0600);
    blob_unref(first);
    blob_unref(second);
    cr_assert(unlink(path) == 0);
    first = load();
    second = blob_new(first->len);
    memset(second->data, 0, second->len);
    cr_expect(!slice_equal(blob_slice(first), blob_slice(second)));
    blob_unref(first);
    blob_unref(second);
}

Test(doc_key, gateways_that_start_at_once_have_the_same)
{
    int pipes[2];
    pid_t pids[GATEWAYS];
    uint8_t keys[GATEWAYS][DOC_TOKEN_KEY_MIN];

    cr_assert(pipe(pipes) == 0);
    for (size_t i = 0; i < GATEWAYS; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            struct blob *key = NULL;
            bool is_good = doc_key_load(&config, &key) == 0 &&
                           write(pipes[1], key->data, key->len) == (ssize_t)key->len;
            _exit(is_good ? 0 : 1);
        }
    }
    for (size_t i = 0; i < GATEWAYS; i++) {
        int status = -1;
        cr_assert(waitpid(pids[i], &status, 0) == pids[i] && status == 0);
        cr_assert(read(pipes[0], keys[i], sizeof(keys[i])) == (ssize_t)sizeof(keys[i]));
        cr_expect(memcmp(keys[i], keys[0], sizeof(keys[i])) == 0);
    }
}

Test(doc_key, what_others_could_have_put_there)
{
    write_key(path, 32, 0640);
    cr_expect(fail() == -EPERM, "others may read it");
    write_key(path, 31, 0600);
    cr_expect(fail() == -EINVAL, "it is too short");
    write_key(path, DOC_KEY_BYTES_MAX + 1, 0600);
    cr_expect(fail() == -EINVAL, "it is too long");
    cr_assert(unlink(path) == 0);
    cr_assert(symlink("/dev/zero", path) == 0);
    cr_expect(fail() == -ELOOP);
    cr_assert(unlink(path) == 0 && mkdir(path, 0700) == 0);
    cr_expect(fail() == -EINVAL);
}

Test(doc_key, a_file_of_the_operator)
{
    char *own CLEANUP_FREE = xasprintf("%s/secret", dir);
    struct stat st;

    config.doc_token_key = own;
    cr_expect(fail() == -ENOENT, "it is not made");
    write_key(own, DOC_KEY_BYTES_MAX, 0644);
    struct blob *key = load();
    cr_expect(key->len == DOC_KEY_BYTES_MAX);
    blob_unref(key);
    cr_expect(stat(path, &st) < 0);
    write_key(own, 31, 0600);
    cr_expect(fail() == -EINVAL);
}
