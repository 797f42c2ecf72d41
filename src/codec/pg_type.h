/*
 * Which Delta type a PostgreSQL type lands in.
 *
 *   boolean                    boolean        date                       date
 *   smallint                   short          timestamp                  timestamp_ntz
 *   integer                    integer        timestamptz                timestamp
 *   bigint, oid, xid, cid      long           bytea                      binary
 *   real                       float          T[] (one dimension)        array<T's type>
 *   double precision           double         every other type           string, as PostgreSQL prints it
 *   numeric(p,s), p <= 38 and 0 <= s <= p     decimal(p,s)
 *
 * A numeric without precision, or outside these bounds, is a string: nothing is lost, NaN and infinities included.
 */
#ifndef SLUICE_CODEC_PG_TYPE_H
#define SLUICE_CODEC_PG_TYPE_H

#include "model/relation.h"
#include "model/type.h"

/* How the bytes of a value (of an array: of its elements) are read. */
enum pg_kind {
    PG_BOOL,
    PG_INT2,
    PG_INT4,
    PG_INT8,
    PG_OID, /* also xid, cid: unsigned 32 bits */
    PG_FLOAT4,
    PG_FLOAT8,
    PG_DECIMAL,
    PG_DATE,
    PG_TIMESTAMP,
    PG_TIMESTAMPTZ,
    PG_BYTEA,
    /* strings from here on */
    PG_TEXT,    /* the binary form is the text itself */
    PG_NUMERIC, /* numeric that is not PG_DECIMAL */
    PG_QCHAR,   /* "char" */
    PG_JSONB,
    PG_UUID,
    PG_TIME,
    PG_TIMETZ,
    PG_INTERVAL,
    PG_INET, /* also cidr */
    PG_MACADDR,
    PG_MACADDR8,
    PG_BIT, /* also bit varying */
    PG_LSN,
    PG_TEXT_ONLY, /* types whose binary form we do not read */
};

/* PostgreSQL's type OIDs that we know (pg_type.dat: they never change). */
enum pg_oid {
    PG_OID_BOOL = 16,
    PG_OID_BYTEA = 17,
    PG_OID_QCHAR = 18,
    PG_OID_NAME = 19,
    PG_OID_INT8 = 20,
    PG_OID_INT2 = 21,
    PG_OID_INT2VECTOR = 22,
    PG_OID_INT4 = 23,
    PG_OID_TEXT = 25,
    PG_OID_OID = 26,
    PG_OID_XID = 28,
    PG_OID_CID = 29,
    PG_OID_OIDVECTOR = 30,
    PG_OID_JSON = 114,
    PG_OID_XML = 142,
    PG_OID_POINT = 600,
    PG_OID_LSEG = 601,
    PG_OID_BOX = 603,
    PG_OID_LINE = 628,
    PG_OID_CIDR = 650,
    PG_OID_FLOAT4 = 700,
    PG_OID_FLOAT8 = 701,
    PG_OID_MACADDR8 = 774,
    PG_OID_MACADDR = 829,
    PG_OID_INET = 869,
    PG_OID_BPCHAR = 1042,
    PG_OID_VARCHAR = 1043,
    PG_OID_DATE = 1082,
    PG_OID_TIME = 1083,
    PG_OID_TIMESTAMP = 1114,
    PG_OID_TIMESTAMPTZ = 1184,
    PG_OID_INTERVAL = 1186,
    PG_OID_TIMETZ = 1266,
    PG_OID_BIT = 1560,
    PG_OID_VARBIT = 1562,
    PG_OID_NUMERIC = 1700,
    PG_OID_UUID = 2950,
    PG_OID_LSN = 3220,
    PG_OID_JSONB = 3802,
    PG_OID_FIRST_USER = 16384, /* those of CREATE TYPE and CREATE DOMAIN begin here */
};

/* The type (children from `arena`) and how to read it; for an array, `ret_kind` is that of the elements. */
void pg_type_map(const struct relation_column *col, struct arena *arena, struct type *ret_type, enum pg_kind *ret_kind);
/* Do we read what the type's send function gives? If not, the column must come as text. */
bool pg_type_binary_safe(const struct relation_column *col);
/* An array in PostgreSQL's sense (not name, point, int2vector and the like, which only can be subscripted). */
bool pg_type_is_array(const struct relation_column *col);

#endif
