/*
 * Binary COPY, read incrementally.
 *
 *   "PGCOPY\n\377\r\n\0"  flags:4  extension size:4  extension
 *   row*                  fields:2, per field size:4 (-1 = NULL) bytes
 *   -1:2                  the trailer
 *
 * libpq gives one row a message, so a row mostly lies whole in its slice and is read there. What is cut by the end of a
 * slice goes to `pending`, and the next slice is added to it; reading goes back to the slices when `pending` is used up.
 */
#include "codec/pg_copy.h"

#include "base/mem.h"

#include <assert.h>

static const char signature[11] = "PGCOPY\n\377\r\n";

void pg_copy_reader_init(struct pg_copy_reader *r, uint16_t n_fields, size_t max_row)
{
    *r = (struct pg_copy_reader){.n_fields = n_fields, .max_row = max_row};
    r->fields = MEM_NEW_N(struct str, MAX(n_fields, 1));
}

void pg_copy_reader_deinit(struct pg_copy_reader *r)
{
    mem_free(r->fields);
    buf_deinit(&r->pending);
    *r = (struct pg_copy_reader){0};
}

void pg_copy_feed(struct pg_copy_reader *r, const void *p, size_t n)
{
    assert(!r->in.n); /* everything before was read or kept */
    if (!r->pending.n) {
        r->in = str_make(p, n);
        return;
    }
    buf_add(&r->pending, p, n);
    r->in = buf_str(&r->pending);
}

/* The rest of the input waits for more; at least `need` bytes of it must be there before reading goes on. */
static int wait_for(struct pg_copy_reader *r, size_t need)
{
    r->need = need;
    if (r->in.n && r->pending.n) { /* it lies in `pending` */
        memmove(r->pending.p, r->in.p, r->in.n);
        r->pending.n = r->in.n;
    } else {
        buf_reset(&r->pending);
        buf_add_str(&r->pending, r->in);
    }
    r->in = (struct str){0};
    return ERR_AGAIN;
}

static void consume(struct pg_copy_reader *r, size_t n)
{
    r->in = str_make(r->in.p + n, r->in.n - n);
    r->need = 0;
}

static int read_header(struct pg_copy_reader *r, struct err *err)
{
    enum { FIXED = sizeof signature + 8 };

    if (r->in.n < FIXED)
        return wait_for(r, FIXED);
    struct reader h = reader_of(r->in.p + sizeof signature, 8);
    uint32_t flags = reader_be32(&h), extension = reader_be32(&h);
    if (memcmp(r->in.p, signature, sizeof signature) != 0)
        return err_set(err, ERR_INPUT, "this is no binary COPY: its signature is missing");
    if (flags >> 16 || extension > 65536)
        return err_set(err, ERR_UNSUPPORTED, "binary COPY with the flags 0x%x and an extension of %u bytes", flags,
                       extension);
    if (r->in.n < FIXED + extension)
        return wait_for(r, FIXED + extension);
    consume(r, FIXED + extension);
    r->header_done = true;
    return 0;
}

/* The fields of the row at the cursor; its size, or ERR_AGAIN with `r->need`. */
static int read_fields(struct pg_copy_reader *r, size_t *ret_size, struct err *err)
{
    size_t at = 2;

    for (uint16_t i = 0; i < r->n_fields; i++) {
        if (r->in.n - at < 4)
            return wait_for(r, at + 4);
        struct reader f = reader_of(r->in.p + at, 4);
        int32_t size = (int32_t)reader_be32(&f);
        at += 4;
        r->fields[i] = (struct str){0};
        if (size == -1)
            continue;
        if (size < 0)
            return err_set(err, ERR_INPUT, "row %llu of the COPY: a field of %d bytes",
                           (unsigned long long)r->n_rows + 1, size);
        if (at + (size_t)size > r->max_row)
            return err_set(err, ERR_LIMIT, "row %llu of the COPY is larger than %zu bytes",
                           (unsigned long long)r->n_rows + 1, r->max_row);
        if (r->in.n - at < (size_t)size)
            return wait_for(r, at + (size_t)size);
        r->fields[i] = str_make(r->in.p + at, (size_t)size);
        at += (size_t)size;
    }
    *ret_size = at;
    return 0;
}

static int read_trailer(struct pg_copy_reader *r, struct err *err)
{
    consume(r, 2);
    r->trailer_done = true;
    buf_reset(&r->pending);
    if (r->in.n)
        return err_set(err, ERR_INPUT, "%zu bytes after the end of the COPY", r->in.n);
    return 1;
}

int pg_copy_read_row(struct pg_copy_reader *r, const struct str **ret_fields, struct err *err)
{
    size_t size = 0;

    if (r->trailer_done)
        return r->in.n ? err_set(err, ERR_INPUT, "%zu bytes after the end of the COPY", r->in.n) : 1;
    if (!r->header_done)
        TRY(read_header(r, err));
    if (r->in.n < MAX(r->need, (size_t)2))
        return wait_for(r, MAX(r->need, (size_t)2));
    struct reader h = reader_of(r->in.p, 2);
    int16_t n = (int16_t)reader_be16(&h);
    if (n == -1)
        return read_trailer(r, err);
    if (n != r->n_fields)
        return err_set(err, ERR_INPUT, "row %llu of the COPY has %d fields instead of %u",
                       (unsigned long long)r->n_rows + 1, n, r->n_fields);
    TRY(read_fields(r, &size, err));
    consume(r, size);
    r->n_rows++;
    *ret_fields = r->fields;
    return 0;
}

int pg_copy_finish(const struct pg_copy_reader *r, struct err *err)
{
    if (r->trailer_done)
        return 0;
    return err_set(err, ERR_INPUT, "the COPY ended after %llu rows without its trailer", (unsigned long long)r->n_rows);
}
