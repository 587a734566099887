/* pages: the files that people's browsers load, read into memory once. */
#pragma once

#include "common/blob.h"
#include "common/memory.h"
#include "gateway/conn.h"

struct pages;

struct page {
    char *name; /* of the file */
    const char *type;
    char etag[19]; /* with its quotes */
    struct blob *content;
};

/* Reads the regular files of `dir` whose type is known; those in folders below are not served. An
 * empty `dir` gives no pages. 0 or -errno; -E2BIG if they are too many or too large. */
WARN_UNUSED int pages_load(const char *dir, struct pages **ret);
void pages_free(struct pages *pages);

/* The page of a request path: "/" is index.html, "/demo" demo.html, "/x.js" x.js. NULL without. */
const struct page *pages_find(const struct pages *pages, struct slice path);

/* Answers a request with the page, or with the word that the client has it. */
void page_answer(const struct page *page, struct conn *c, const struct http_request *req);
