#include "ctl/doc_input.h"

#include "crdt/lib0.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#define READ_BYTES (64u << 10)

const char *doc_strerror(int error)
{
    switch (-error) {
    case EBADMSG:
        return "is no Yjs update";
    case E2BIG:
        return "is over a limit of this program";
    case EFBIG:
        return "is too large: all files together may have 256 MiB";
    }
    return strerror(-error);
}

static int complain(const char *name, int error)
{
    (void)fprintf(stderr, "concordctl: %s: %s\n", name, doc_strerror(error));
    return error;
}

/* Reads to the end, `max` bytes at most. -EFBIG, other -errno. */
static int read_all(int fd, size_t max, struct buffer *out)
{
    ssize_t n;

    do {
        if (out->len > max)
            return -EFBIG;
        n = read(fd, buffer_reserve(out, READ_BYTES), READ_BYTES);
        if (n > 0)
            buffer_add_len(out, (size_t)n);
    } while (n > 0 || (n < 0 && errno == EINTR));
    return n < 0 ? -errno : 0;
}

static int read_file(const char *name, size_t max, struct buffer *out)
{
    struct stat st;
    bool is_stdin = strcmp(name, "-") == 0;
    int file CLEANUP_FD = is_stdin ? -1 : open(name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    int fd = is_stdin ? STDIN_FILENO : file;

    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (S_ISREG(st.st_mode) && (uint64_t)st.st_size > max)
        return -EFBIG;
    return read_all(fd, max, out);
}

int doc_input_read(struct doc_input *input, const char *name)
{
    struct doc_file file = {.name = name};
    bool is_stdin = strcmp(name, "-") == 0;

    if (is_stdin && input->has_stdin) {
        (void)fprintf(stderr, "concordctl: stdin can be read but once\n");
        return -EINVAL;
    }
    int r = read_file(name, DOC_INPUT_MAX - input->bytes, &file.bytes);
    if (r < 0) {
        buffer_done(&file.bytes);
        return complain(name, r);
    }
    input->has_stdin |= is_stdin;
    input->files = xrealloc(input->files, (input->count + 1) * sizeof(*input->files));
    input->files[input->count++] = file;
    input->bytes += file.bytes.len;
    return 0;
}

/* An update of format 1 that inserts nothing, and nothing behind it: format 1 as such allows any
 * bytes there, so the rest of a damaged update of format 2 would pass for one. */
static bool is_bare_delete_set(struct crdt_slice bytes)
{
    struct lib0_reader r;

    lib0_reader_init(&r, bytes.data, bytes.len);
    (void)lib0_read_u8(&r); /* no structs */
    for (uint64_t clients = lib0_read_uint(&r); clients > 0 && !r.has_failed; clients--) {
        (void)lib0_read_uint(&r); /* the client */
        for (uint64_t ranges = lib0_read_uint(&r); ranges > 0 && !r.has_failed; ranges--) {
            (void)lib0_read_uint(&r);
            (void)lib0_read_uint(&r);
        }
    }
    return !r.has_failed && lib0_remaining(&r) == 0;
}

static enum crdt_format guess_format(struct crdt_slice bytes)
{
    return bytes.len > 0 && bytes.data[0] == 0 && !is_bare_delete_set(bytes) ? CRDT_V2 : CRDT_V1;
}

int doc_input_read_update(struct doc_input *input, const char *name, enum crdt_format format)
{
    int r = doc_input_read(input, name);

    if (r < 0)
        return r;
    struct doc_file *file = &input->files[input->count - 1];
    struct crdt_slice bytes = doc_file_slice(file);
    file->format = format ? format : guess_format(bytes);
    r = crdt_update_validate(file->format, bytes.data, bytes.len, NULL);
    return r < 0 ? complain(name, r) : 0;
}

void doc_input_done(struct doc_input *input)
{
    for (size_t i = 0; i < input->count; i++)
        buffer_done(&input->files[i].bytes);
    free(input->files);
    *input = (struct doc_input){0};
}
