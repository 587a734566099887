#include "gateway/pages.h"

#include "common/buffer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <sys/stat.h>

#define PAGES_MAX      256u
#define PAGE_BYTES_MAX (16u << 20)

struct pages {
    struct page list[PAGES_MAX];
    size_t count;
};

static const struct {
    const char *suffix;
    const char *type;
} types[] = {
    {".html", "text/html; charset=utf-8"},
    {".js", "text/javascript; charset=utf-8"},
    {".mjs", "text/javascript; charset=utf-8"},
    {".css", "text/css; charset=utf-8"},
    {".svg", "image/svg+xml"},
    {".png", "image/png"},
    {".ico", "image/x-icon"},
    {".json", "application/json"},
    {".map", "application/json"},
    {".txt", "text/plain; charset=utf-8"},
    {".wasm", "application/wasm"},
    {".webmanifest", "application/manifest+json"},
    {".woff2", "font/woff2"},
};

static const char *type_of(const char *name)
{
    const char *dot = strrchr(name, '.');

    for (size_t i = 0; dot && dot != name && i < sizeof(types) / sizeof(types[0]); i++)
        if (strcmp(dot, types[i].suffix) == 0)
            return types[i].type;
    return NULL;
}

/* Reads a whole file; 0 or -errno. */
static int read_file(int dir, const char *name, struct blob **ret)
{
    int fd CLEANUP_FD = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct stat st;

    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EINVAL;
    if (st.st_size > (off_t)PAGE_BYTES_MAX)
        return -E2BIG;
    struct blob *b = blob_new((size_t)st.st_size);
    size_t got = 0;
    while (got < b->len) {
        ssize_t n = read(fd, b->data + got, b->len - got);
        if (n <= 0) {
            blob_unref(b);
            return n < 0 ? -errno : -EIO;
        }
        got += (size_t)n;
    }
    *ret = b;
    return 0;
}

static void make_etag(const struct blob *content, char ret[19])
{
    uint8_t digest[SHA256_DIGEST_LENGTH];
    uint64_t head = 0;

    (void)SHA256(content->data, content->len, digest);
    for (size_t i = 0; i < 8; i++)
        head = head << 8 | digest[i];
    (void)snprintf(ret, 19, "\"%016lx\"", (unsigned long)head);
}

static int load_page(struct pages *pages, int dir, const char *name)
{
    const char *type = name[0] == '.' ? NULL : type_of(name);
    struct blob *content = NULL;

    if (!type)
        return 0;
    int r = read_file(dir, name, &content);
    if (r == -EINVAL || r == -ELOOP)
        return 0;
    if (r < 0)
        return r;
    if (pages->count == PAGES_MAX) {
        blob_unref(content);
        return -E2BIG;
    }
    struct page *page = &pages->list[pages->count++];
    page->name = xstrdup(name);
    page->type = type;
    page->content = content;
    make_etag(content, page->etag);
    return 0;
}

int pages_load(const char *path, struct pages **ret)
{
    struct pages *pages = xcalloc(1, sizeof(*pages));
    const struct dirent *entry;
    int r = 0;

    if (path[0] == '\0') {
        *ret = pages;
        return 0;
    }
    DIR *dir = opendir(path);
    if (!dir)
        r = -errno;
    while (r == 0 && (entry = readdir(dir)))
        r = load_page(pages, dirfd(dir), entry->d_name);
    if (dir)
        (void)closedir(dir);
    if (r < 0) {
        pages_free(pages);
        return r;
    }
    *ret = pages;
    return 0;
}

void pages_free(struct pages *pages)
{
    if (!pages)
        return;
    for (size_t i = 0; i < pages->count; i++) {
        free(pages->list[i].name);
        blob_unref(pages->list[i].content);
    }
    free(pages);
}

const struct page *pages_find(const struct pages *pages, struct slice path)
{
    struct slice name = slice_of(path.data + 1, path.len - 1);

    if (name.len == 0)
        name = slice_str("index.html");
    else if (slice_equal(name, slice_str("demo")))
        name = slice_str("demo.html");
    for (size_t i = 0; i < pages->count; i++)
        if (slice_equal(name, slice_str(pages->list[i].name)))
            return &pages->list[i];
    return NULL;
}

/* ---- answers ---- */

static void append_page_headers(struct buffer *b, const struct page *page,
                                const struct http_request *req)
{
    struct slice host = http_header(req, "host");

    buffer_printf(b, "ETag: %s\r\nCache-Control: no-cache\r\nReferrer-Policy: no-referrer\r\n",
                  page->etag);
    /* CodeMirror styles its parts with style elements. Not every browser takes 'self' to cover the
     * WebSockets of the same host. */
    buffer_append_str(b, "Content-Security-Policy: default-src 'self'; "
                         "style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
                         "object-src 'none'; base-uri 'none'; frame-ancestors 'self'; "
                         "connect-src 'self'");
    if (http_host_is_plain(host))
        buffer_printf(b, " ws://%.*s wss://%.*s", (int)host.len, (const char *)host.data,
                      (int)host.len, (const char *)host.data);
    buffer_append_str(b, "\r\n");
}

static bool client_has_page(const struct http_request *req, const struct page *page)
{
    return http_header_has_token(req, "if-none-match", page->etag) ||
           http_header_has_token(req, "if-none-match", "*");
}

void page_answer(const struct page *page, struct conn *c, const struct http_request *req)
{
    struct buffer extra = {0};
    bool is_known = client_has_page(req, page);

    append_page_headers(&extra, page, req);
    buffer_append(&extra, "", 1);
    struct http_answer answer = {
        .status = is_known ? 304 : 200,
        .type = page->type,
        .extra = (const char *)extra.data,
        .length = page->content->len,
    };
    conn_answer(c, &answer, is_known ? NULL : page->content);
    buffer_done(&extra);
}
