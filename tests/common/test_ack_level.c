#include "common/ack_level.h"

#include <criterion/criterion.h>
#include <errno.h>

Test(ack_level, the_first_rule_that_fits_decides)
{
    static const struct {
        const char *rules;
        const char *room;
        enum ack_level level;
    } rows[] = {
        {"stored", "a", ACK_STORED},
        {"room", "a", ACK_ROOM},
        {"drafts/*=room", "drafts/a/b", ACK_ROOM},
        {"drafts/*=room", "drafts", ACK_STORED},
        {"drafts/*=room", "a", ACK_STORED},
        {"drafts/final-?=stored, drafts/*=room, stored", "drafts/final-1", ACK_STORED},
        {" drafts/final-?=stored ,drafts/* = room, stored ", "drafts/final", ACK_ROOM},
        {"*.tmp=room,room", "a", ACK_ROOM},
        {"a=b=room", "a=b", ACK_ROOM},
        {"[ab]=stored, room", "b", ACK_ROOM},
        {"stored, a=room", "a", ACK_STORED},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        enum ack_level level;
        cr_assert_eq(ack_level_of(rows[i].rules, slice_str(rows[i].room), &level), 0);
        cr_expect_eq(level, rows[i].level, "%s of %s", rows[i].rules, rows[i].room);
    }
}

Test(ack_level, malformed_rules_are_refused_wherever_they_are)
{
    static const char *const rows[] = {"",        "disk",          "Stored", "room,",
                                       ",stored", "stored stored", "a=",     "=room",
                                       "a=disk",  "stored,a=disk", "a room", "a:room",
                                       " ",       "room, ,stored", "a=room="};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        enum ack_level level;
        cr_expect_eq(ack_level_of(rows[i], slice_str("a"), &level), -EINVAL, "%s", rows[i]);
    }
}
