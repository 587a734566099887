#include "ctl/doctor_replay.h"

#include "planted.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>

/* A v1 update that inserts a text of client `client`. */
struct update {
    uint8_t bytes[64];
    size_t len;
};

static struct update insert(uint8_t client, uint8_t clock, const char *text)
{
    size_t len = strlen(text);
    uint8_t head[] = {1, 1, client, clock, 4, 1, 1, 't', (uint8_t)len};
    struct update u = {.len = sizeof(head) + len + 1};

    memcpy(u.bytes, head, sizeof(head));
    memcpy(u.bytes + sizeof(head), text, len);
    return u; /* the last byte: no deletes */
}

static struct replay_item item_of(const struct update *u)
{
    return (struct replay_item){.update = slice_of(u->bytes, u->len)};
}

/* Replays five updates of which the one in the middle is `bad`. */
static struct replay_result replay_with(const struct update *bad,
                                        const struct replay_limits *limits)
{
    struct update good[4];
    struct replay_item items[5];
    struct replay_result result;

    for (uint8_t i = 0; i < 4; i++)
        good[i] = insert((uint8_t)(i + 1), 0, "good");
    for (size_t i = 0; i < 5; i++)
        items[i] = item_of(i == 2 ? bad : &good[i < 2 ? i : i - 1]);
    cr_assert_eq(replay_run(items, 5, limits, &result), 0);
    return result;
}

Test(doctor_replay, what_is_fine)
{
    struct update last = insert(9, 0, "fine");
    struct replay_result result = replay_with(&last, NULL);

    cr_assert_eq(result.verdict, REPLAY_FINE);
    cr_assert_eq(result.structs, 5);
    cr_assert_eq(result.pending_bytes, 0);

    struct update early = insert(9, 7, "waits");
    result = replay_with(&early, NULL);
    cr_assert_eq(result.verdict, REPLAY_FINE);
    cr_assert_gt(result.pending_bytes, 0);
}

Test(doctor_replay, names_what_harms_a_room)
{
    static const struct replay_limits little_time = {.cpu_ms = 50};
#ifndef __SANITIZE_ADDRESS__ /* which wants more memory than any limit allows */
    static const struct replay_limits little_memory = {.memory_bytes = (uint64_t)64 << 20};
#endif
    struct {
        struct update update;
        const struct replay_limits *limits;
        enum replay_verdict verdict;
        int code;
        const char *words;
    } cases[] = {
        {insert(9, 0, PLANTED_CRASH), NULL, REPLAY_SIGNALED, SIGSEGV, "kills the room: signal"},
        {insert(9, 0, PLANTED_LOOP), &little_time, REPLAY_ENDLESS, SIGPROF,
         "does not come to an end"},
#ifndef __SANITIZE_ADDRESS__
        {insert(9, 0, PLANTED_MEMORY), &little_memory, REPLAY_SIGNALED, SIGABRT,
         "kills the room: signal 6"},
#endif
        {{.bytes = {1, 2, 3}, .len = 3}, NULL, REPLAY_REFUSED, -EBADMSG, "does not decode"},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct replay_result result = replay_with(&cases[i].update, cases[i].limits);
        char *words CLEANUP_FREE = replay_describe(&result);
        cr_assert_eq(result.item, 2, "%s: item %zu", words, result.item);
        cr_assert_eq(result.verdict, cases[i].verdict, "case %zu: %s", i, words);
        cr_assert_eq(result.code, cases[i].code, "%s", words);
        cr_assert_eq(strncmp(words, cases[i].words, strlen(cases[i].words)), 0, "%s", words);
    }
}

Test(doctor_replay, leaves_out_what_is_known)
{
    struct update bad = insert(9, 0, PLANTED_CRASH);
    struct update good = insert(1, 0, "good");
    struct replay_item items[] = {item_of(&bad), item_of(&good)};
    struct replay_result result;

    items[0].is_left_out = true;
    cr_assert_eq(replay_run(items, 2, NULL, &result), 0);
    cr_assert_eq(result.verdict, REPLAY_FINE);
    cr_assert_eq(result.structs, 1);
    cr_assert_eq(replay_run(NULL, 0, NULL, &result), 0);
    cr_assert_eq(result.verdict, REPLAY_FINE);
}

Test(doctor_replay, merges)
{
    struct update a = insert(1, 0, "a"), b = insert(2, 0, "b"), bad = {.bytes = {1, 2}, .len = 2};
    struct slice updates[] = {slice_of(a.bytes, a.len), slice_of(NULL, 0), slice_of(b.bytes, b.len),
                              slice_of(bad.bytes, bad.len)};
    struct buffer merged = {0};

    cr_assert_eq(replay_merge(updates, 3, &merged), 0);
    struct replay_item item = {.update = buffer_slice(&merged)};
    struct replay_result result;
    cr_assert_eq(replay_run(&item, 1, NULL, &result), 0);
    cr_assert_eq(result.structs, 2);
    merged.len = 0;
    cr_assert_eq(replay_merge(updates, 0, &merged), 0);
    cr_assert_eq(merged.len, 2, "nothing is an update that holds nothing");
    cr_assert_eq(replay_merge(updates, 4, &merged), -EBADMSG);
    buffer_done(&merged);
}
