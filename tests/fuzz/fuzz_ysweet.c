/* A frame of y-sweet's client, message by message, as its dialect takes it apart. */
#include "fuzz.h"

#include "gateway/yproto.h"

static bool lies_in(struct slice part, struct slice whole)
{
    return part.len == 0 ||
           (part.data >= whole.data && part.data + part.len <= whole.data + whole.len);
}

/* Takes one message; what it is made of lies where it was. */
static int take_message(struct slice *rest)
{
    struct slice before = *rest;
    struct yproto_own own = {0};
    struct yproto_message m = {0};
    int r = yproto_next_ysweet(rest, &own);

    CHECK(r == 1 || r == 0 || r == -EBADMSG);
    CHECK(r > 0 || (rest->data == before.data && rest->len == before.len));
    if (r == 0) {
        r = yproto_next(rest, &m);
        CHECK(r == 1 || r == -EBADMSG || (r == 0 && before.len == 0));
    }
    CHECK(lies_in(own.body, before) && lies_in(m.body, before));
    CHECK(r <= 0 || rest->len < before.len);
    CHECK(rest->data + rest->len == before.data + before.len);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct crdt_slice input = {data, size}, copy;

    take_copy(&input, size, &copy);
    struct slice rest = slice_of(copy.data, copy.len);
    while (take_message(&rest) > 0)
        ;
    free_slice(&copy);
    return 0;
}
