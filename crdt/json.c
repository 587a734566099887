#include "any.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "members.h"

/* ---- strings ---- */

/* The letter after the backslash for what has one, by character; 'u' for other controls. */
static char escape_of(uint8_t byte)
{
    switch (byte) {
    case '"':
    case '\\':
        return (char)byte;
    case '\b':
        return 'b';
    case '\f':
        return 'f';
    case '\n':
        return 'n';
    case '\r':
        return 'r';
    case '\t':
        return 't';
    default:
        return byte < 0x20 ? 'u' : 0;
    }
}

void crdt_json_write_string(struct crdt_buf *out, const void *data, size_t len)
{
    const uint8_t *p = data;
    size_t done = 0;
    lib0_write_u8(out, '"');
    for (size_t i = 0; i < len; i++) {
        char escape = escape_of(p[i]);
        if (!escape)
            continue;
        char text[8];
        int n = escape == 'u' ? snprintf(text, sizeof(text), "\\u%04x", (unsigned)p[i])
                              : snprintf(text, sizeof(text), "\\%c", escape);
        lib0_write_bytes(out, p + done, i - done);
        lib0_write_bytes(out, text, (size_t)n);
        done = i + 1;
    }
    if (done < len)
        lib0_write_bytes(out, p + done, len - done);
    lib0_write_u8(out, '"');
}

/* ---- numbers ---- */

#define MAX_DIGITS 17 /* that any double needs to be told from its neighbours */

/* Adds one to the last digit of "d.ddde+xx". False when that would carry out of the first. */
static bool bump_last_digit(char *text)
{
    char *p = strchr(text, 'e') - 1;
    for (; p >= text; p--) {
        if (*p == '.')
            continue;
        if (*p != '9') {
            (*p)++;
            return true;
        }
        *p = '0';
    }
    return false;
}

/* `value` with `precision` digits, if that reads back as `value`. */
static bool print_if_exact(double value, int precision, char *text, size_t size)
{
    snprintf(text, size, "%.*e", precision - 1, value);
    if (strtod(text, NULL) == value)
        return true;
    /* Below a power of two the doubles lie closer than above, so that the nearest decimal may miss
     * where the next one up hits. */
    int exponent;
    if (frexp(value, &exponent) != 0.5)
        return false;
    return bump_last_digit(text) && strtod(text, NULL) == value;
}

/* The fewest digits that read back as `value` > 0, and n with value = 0.digits * 10^n. */
static size_t shortest_digits(double value, char digits[MAX_DIGITS + 1], int *ret_n)
{
    char text[40];
    /* Every decimal of DBL_DIG digits survives the way to a normal double and back, so what is
     * shorter shows as zeros at the end. */
    int precision = value >= DBL_MIN ? DBL_DIG : 1;
    while (precision < MAX_DIGITS && !print_if_exact(value, precision, text, sizeof(text)))
        precision++;
    if (precision == MAX_DIGITS)
        snprintf(text, sizeof(text), "%.*e", precision - 1, value);

    size_t len = 0;
    const char *p = text;
    for (; *p != 'e'; p++) {
        if (*p != '.')
            digits[len++] = *p;
    }
    while (len > 1 && digits[len - 1] == '0')
        len--;
    *ret_n = (int)strtol(p + 1, NULL, 10) + 1;
    return len;
}

static void write_zeros(struct crdt_buf *out, int count)
{
    for (int i = 0; i < count; i++)
        lib0_write_u8(out, '0');
}

/* ECMA-262 6.1.6.1.20 Number::toString. */
void crdt_json_write_number(struct crdt_buf *out, double value)
{
    char digits[MAX_DIGITS + 1];
    int n;
    if (!isfinite(value)) {
        lib0_write_bytes(out, "null", 4);
        return;
    }
    if (value == 0) {
        lib0_write_u8(out, '0');
        return;
    }
    if (value < 0)
        lib0_write_u8(out, '-');
    int len = (int)shortest_digits(fabs(value), digits, &n);
    if (len <= n && n <= 21) {
        lib0_write_bytes(out, digits, (size_t)len);
        write_zeros(out, n - len);
    } else if (0 < n && n <= 21) {
        lib0_write_bytes(out, digits, (size_t)n);
        lib0_write_u8(out, '.');
        lib0_write_bytes(out, digits + n, (size_t)(len - n));
    } else if (-6 < n && n <= 0) {
        lib0_write_bytes(out, "0.", 2);
        write_zeros(out, -n);
        lib0_write_bytes(out, digits, (size_t)len);
    } else {
        char exponent[16];
        int size = snprintf(exponent, sizeof(exponent), "e%+d", n - 1);
        lib0_write_u8(out, (uint8_t)digits[0]);
        if (len > 1)
            lib0_write_u8(out, '.');
        lib0_write_bytes(out, digits + 1, (size_t)(len - 1));
        lib0_write_bytes(out, exponent, (size_t)size);
    }
}
