/* Time: wall clock in microseconds since 1970 UTC, monotonic clock in microseconds, ISO 8601 text. */
#ifndef SLUICE_BASE_CLOCK_H
#define SLUICE_BASE_CLOCK_H

#include "base/macros.h"

int64_t clock_now_us(void);
int64_t clock_mono_us(void);
void clock_sleep_us(int64_t us);

enum { CLOCK_TEXT = 40 };
/* "2026-11-23T14:37:13.123456Z" of a wall clock time; years outside 0..9999 get a sign and more digits. Returns `out`. */
char *clock_text(int64_t us, char out[CLOCK_TEXT]);
/* Days since 1970-01-01 of a proleptic Gregorian date, and back. Any year that fits. */
int64_t clock_days_from_civil(int64_t year, unsigned month, unsigned day);
void clock_civil_from_days(int64_t days, int64_t *ret_year, unsigned *ret_month, unsigned *ret_day);

#endif
