/*
 * The stream of `COPY … TO STDOUT (FORMAT binary)`, fed in slices of any size.
 *
 *     pg_copy_feed(&reader, p, n);
 *     while ((rc = pg_copy_read_row(&reader, &fields, err)) == 0)
 *         … reader.n_fields values …
 *     // rc: ERR_AGAIN = feed more, 1 = the trailer was read, else an error
 *
 * Source: PostgreSQL manual, COPY, "Binary Format"; drawn in pg_copy.c.
 */
#ifndef SLUICE_CODEC_PG_COPY_H
#define SLUICE_CODEC_PG_COPY_H

#include "base/buf.h"
#include "base/err.h"

struct pg_copy_reader {
    uint16_t n_fields;  /* every row must have as many */
    size_t max_row;     /* most bytes of one row */
    struct str *fields; /* of the row last read; p NULL = SQL NULL */
    struct str in;      /* what is left of the slice or of `pending`; borrowed */
    struct buf pending; /* the start of a row that was cut by the end of its slice, and what was fed after it */
    size_t need;        /* bytes of a row known to be needed before it can be complete */
    uint64_t n_rows;    /* rows read, for messages and progress */
    bool header_done, trailer_done;
};

void pg_copy_reader_init(struct pg_copy_reader *r, uint16_t n_fields, size_t max_row);
void pg_copy_reader_deinit(struct pg_copy_reader *r);
/* Gives the next slice, which must stay until pg_copy_read_row says ERR_AGAIN (only then may more be fed). Rows point
 * into it where they lie in it whole. */
void pg_copy_feed(struct pg_copy_reader *r, const void *p, size_t n);
/*
 * The next row: 0 and `ret_fields` (valid until the next feed or read), 1 after the trailer, ERR_AGAIN when more must
 * be fed. ERR_INPUT for bytes that break the format, ERR_LIMIT for a row past `max_row`, ERR_UNSUPPORTED for flags that
 * we do not know.
 */
MUST_CHECK int pg_copy_read_row(struct pg_copy_reader *r, const struct str **ret_fields, struct err *err);
/* The stream has ended: an error unless its trailer was read. */
MUST_CHECK int pg_copy_finish(const struct pg_copy_reader *r, struct err *err);

#endif
