/*
 * Dates and times of PostgreSQL: text (DateStyle ISO, IntervalStyle postgres) to numbers and binary to text.
 *
 * Our epoch is 1970-01-01, PostgreSQL's binary one 2000-01-01; the calendar is proleptic Gregorian, year 1 BC is 0.
 * Functions that fail return ERR_INPUT (no such value) or ERR_LIMIT (infinite, or past our range).
 */
#ifndef SLUICE_CODEC_PG_TIME_H
#define SLUICE_CODEC_PG_TIME_H

#include "base/err.h"
#include "base/str.h"

enum { PG_TIME_TEXT = 160 }; /* room for every text that is made here */

MUST_CHECK int pg_date_parse(struct str s, int32_t *ret_days, struct err *err);
MUST_CHECK int pg_date_read(struct str bytes, int32_t *ret_days, struct err *err);
/* "2025-03-04 12:34:56.123456", with a zone (`zone`) as "+00" or "-08:30" at the end. */
MUST_CHECK int pg_timestamp_parse(struct str s, bool zone, int64_t *ret_us, struct err *err);
MUST_CHECK int pg_timestamp_read(struct str bytes, int64_t *ret_us, struct err *err);

/* Text as PostgreSQL prints it, 0-terminated; they return its length. */
size_t pg_date_format(int32_t days, char out[PG_TIME_TEXT]);
size_t pg_timestamp_format(int64_t us, bool zone, char out[PG_TIME_TEXT]);
/* The binary forms of time, timetz and interval as text. */
MUST_CHECK int pg_time_text(struct str bytes, char out[PG_TIME_TEXT], size_t *ret_n, struct err *err);
MUST_CHECK int pg_timetz_text(struct str bytes, char out[PG_TIME_TEXT], size_t *ret_n, struct err *err);
MUST_CHECK int pg_interval_text(struct str bytes, char out[PG_TIME_TEXT], size_t *ret_n, struct err *err);

#endif
