/*
 * case_class: what a code point is to a rule that looks for the letters of a word (Unicode 17,
 * Final_Sigma of SpecialCasing.txt). As in ICU, which browsers lower with, a code point that is
 * both cased and ignorable is ignorable.
 */
#pragma once

#include <stdint.h>

enum crdt_case_class {
    CRDT_CASE_NONE,      /* ends a word */
    CRDT_CASE_CASED,     /* a letter that has case */
    CRDT_CASE_IGNORABLE, /* an accent, an apostrophe, …: stands in a word without being a part */
};

enum crdt_case_class crdt_case_class(uint32_t point);
