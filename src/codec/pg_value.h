/*
 * Values of PostgreSQL, in text and in binary form, into the columns of a batch, and back to text.
 *
 * Both forms give the same bytes. The session must have DateStyle ISO, IntervalStyle postgres, TimeZone UTC,
 * extra_float_digits >= 1, bytea_output hex and client_encoding UTF8. The process must leave LC_NUMERIC at "C".
 */
#ifndef SLUICE_CODEC_PG_VALUE_H
#define SLUICE_CODEC_PG_VALUE_H

#include "codec/pg_type.h"
#include "model/batch.h"

/* How to read one column; a plain value, prepared once per relation version. */
struct pg_value_codec {
    enum pg_kind kind; /* of the elements when `array` */
    bool array;
    char delim;               /* between the elements of an array in text: ',' (';' for box[]) */
    uint8_t precision, scale; /* PG_DECIMAL */
    bool cidr;                /* PG_INET: the prefix length is always printed */
    struct str name;          /* of the column, for errors; borrowed from the relation */
};

struct pg_value_codec pg_value_codec_of(const struct relation_column *col);

/*
 * Reads one value into `row` of `column` (whose type is what pg_type_map gave). `format` is 't' or 'b'. On failure the
 * value is NULL. ERR_LIMIT: a good value that the Delta type cannot hold (NaN or an infinity in a decimal, an infinite
 * date or timestamp or one past 64 bits of microseconds, an array of several dimensions or with a lower bound that is
 * not 1, text that is not UTF-8): the caller leaves NULL there and sends the value to the dead letters. ERR_INPUT:
 * bytes that are no value of this type. ERR_UNSUPPORTED: binary of a type that is not pg_type_binary_safe.
 */
MUST_CHECK int pg_value_read(const struct pg_value_codec *codec, char format, struct str bytes, struct batch *batch,
                             struct column *column, uint32_t row, struct err *err);

/*
 * Appends a value of a column of any type as PostgreSQL would print it (an array as {1,NULL,"a b"}, binary as \x0a);
 * "NULL" for NULL and "(unchanged)" for a value that was not sent.
 */
void pg_value_text(const struct column *column, uint32_t row, struct buf *out);

#endif
