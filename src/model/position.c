/* LSN text. */
#include "model/position.h"

#include <stdio.h>

char *lsn_text(uint64_t lsn, char out[LSN_TEXT])
{
    snprintf(out, LSN_TEXT, "%X/%X", (unsigned)(lsn >> 32), (unsigned)lsn);
    return out;
}

static bool parse_hex(struct str s, uint64_t *ret)
{
    uint64_t v = 0;

    if (s.n < 1 || s.n > 8)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return false;
        v = v << 4 | (uint64_t)digit;
    }
    *ret = v;
    return true;
}

bool lsn_parse(struct str s, uint64_t *ret)
{
    struct str high = str_split(&s, '/');
    uint64_t hi, lo;

    if (!s.p || !parse_hex(high, &hi) || !parse_hex(s, &lo))
        return false;
    *ret = hi << 32 | lo;
    return true;
}
