/*
 * PostgreSQL types that become strings: their binary forms as the text that PostgreSQL prints (network addresses,
 * uuid, bit strings, …), and the array text `{1,NULL,"a b"}`.
 */
#ifndef SLUICE_CODEC_PG_STRING_H
#define SLUICE_CODEC_PG_STRING_H

#include "base/buf.h"
#include "base/err.h"

/* Appends two hex digits a byte. */
void pg_hex_add(struct buf *out, struct str bytes);

/* Each takes the binary form, replaces what `out` has, and returns 0 or ERR_INPUT. */
MUST_CHECK int pg_uuid_text(struct str bytes, struct buf *out, struct err *err);
MUST_CHECK int pg_inet_text(struct str bytes, bool cidr, struct buf *out, struct err *err);
MUST_CHECK int pg_macaddr_text(struct str bytes, size_t size, struct buf *out, struct err *err); /* 6 or 8 bytes */
MUST_CHECK int pg_bit_text(struct str bytes, struct buf *out, struct err *err);
MUST_CHECK int pg_lsn_text(struct str bytes, struct buf *out, struct err *err);
/* "char": one byte, in either form; a byte that is not ASCII becomes \ooo as PostgreSQL 16 prints it. */
MUST_CHECK int pg_qchar_text(struct str bytes, struct buf *out, struct err *err);

/* The elements of a one-dimensional array in text form. */
struct pg_array_text {
    struct str rest; /* after the opening brace */
    char delim;
    bool first;
};
/* ERR_LIMIT for bounds that are not 1 and for several dimensions; the latter can show in `next` too. */
MUST_CHECK int pg_array_text_open(struct str text, char delim, struct pg_array_text *ret, struct err *err);
/* 0 and the next element (`*ret_null`, or its text: in the input, or in `scratch` until the next call), 1 at the end. */
MUST_CHECK int pg_array_text_next(struct pg_array_text *a, struct buf *scratch, struct str *ret, bool *ret_null,
                                  struct err *err);
/* Appends an element's text, quoted where PostgreSQL quotes it. */
void pg_array_text_add(struct buf *out, struct str element, char delim);

#endif
