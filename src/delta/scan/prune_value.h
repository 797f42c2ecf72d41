/*
 * Values as the log has them (statistics, partition values) and as DuckDB's plans have them, made comparable.
 *
 *   NUMBER   integers, decimals, booleans (0, 1), dates (days), timestamps (microseconds): an exact decimal number
 *   REAL     floats and doubles; NaN is above everything, and equal to itself
 *   TEXT     strings, by bytes
 */
#ifndef SLUICE_DELTA_PRUNE_VALUE_H
#define SLUICE_DELTA_PRUNE_VALUE_H

#include "model/type.h"

enum prune_kind { PRUNE_NUMBER, PRUNE_REAL, PRUNE_TEXT };

struct prune_value {
    enum prune_kind kind;
    uint8_t scale;                                       /* NUMBER: digits after the point */
    __int128 number __attribute__((packed, aligned(8))); /* NUMBER: times 10^scale; arenas align to 8 */
    double real;
    struct str text;
};

/* Below 0, 0, above 0. Both of one kind. */
int prune_value_cmp(const struct prune_value *a, const struct prune_value *b);
/* "12.50", "-1e3" → NUMBER. False when it is no number, or one of too many digits. */
bool prune_number(struct str text, struct prune_value *ret);
/*
 * The text of a value of the type, in the log's words. `slack`: bounds of timestamps are cut to milliseconds there; this
 * is added to the microseconds. False when it is no such value, or the type is none that is compared. Text is borrowed.
 */
bool prune_value_read(const struct type *type, struct str text, int64_t slack, struct prune_value *ret);
/*
 * A bound of a decimal, made less (`up`: greater) where it may have gone through a double, as delta-rs writes them: where the type has
 * more digits than a double tells apart, and the text no more than those. False: there is no room for it.
 */
bool prune_decimal_loosen(const struct type *type, struct str text, bool up, struct prune_value *v);

#endif
