/* See the header. */
#include "codec/java_real.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { LEAST = -3, MOST = 6 }; /* exponents of ten that are written out */

/* The shortest of at least two digits that read back as the same number: "123", and the exponent of the first. */
static int shortest(double d, bool is_float, char digits[24])
{
    char text[40];
    size_t n = 0;

    for (int more = 1; more <= (is_float ? 8 : 16); more++) {
        snprintf(text, sizeof text, "%.*e", more, d);
        if (is_float ? strtof(text, NULL) == (float)d : strtod(text, NULL) == d)
            break;
    }
    char *power = strchr(text, 'e');
    for (char *p = text; p < power; p++)
        if (*p != '.')
            digits[n++] = *p;
    while (n > 1 && digits[n - 1] == '0')
        n--;
    digits[n] = 0;
    return (int)strtol(power + 1, NULL, 10);
}

void java_real_text(double d, bool is_float, struct buf *out)
{
    char digits[24];

    if (isnan(d) || isinf(d)) {
        buf_add_cstr(out, isnan(d) ? "NaN" : d > 0 ? "Infinity" : "-Infinity");
        return;
    }
    if (signbit(d))
        buf_add_char(out, '-');
    int power = shortest(fabs(d), is_float, digits);
    bool scientific = d != 0 && (power < LEAST || power > MOST);
    int whole = scientific ? 1 : power + 1; /* digits before the point */
    buf_add_cstr(out, whole <= 0 ? "0." : "");
    for (int i = whole; i < 0; i++)
        buf_add_char(out, '0');
    const char *next = digits;
    for (int i = 0; i < whole; i++)
        buf_add_char(out, *next ? *next++ : '0');
    if (whole > 0)
        buf_add_cstr(out, *next ? "." : ".0");
    buf_add_cstr(out, next);
    if (scientific)
        buf_printf(out, "E%d", power);
}

void java_real_json(double d, bool is_float, struct buf *out)
{
    const char *quote = isfinite(d) ? "" : "\"";

    buf_add_cstr(out, quote);
    java_real_text(d, is_float, out);
    buf_add_cstr(out, quote);
}
