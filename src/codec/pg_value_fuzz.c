/* Fuzz target: any bytes as a value of any type in either form; what is accepted must survive a round trip by text. */
#include "codec/pg_value.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* Every kind that we know, as the catalog names it, then the same as arrays. */
static const uint32_t oids[] = {
    PG_OID_BOOL,        PG_OID_INT2,    PG_OID_INT4,    PG_OID_INT8,     PG_OID_OID,  PG_OID_FLOAT4,    PG_OID_FLOAT8,
    PG_OID_NUMERIC,     PG_OID_NUMERIC, PG_OID_NUMERIC, PG_OID_DATE,     PG_OID_TEXT, PG_OID_TIMESTAMP, PG_OID_BYTEA,
    PG_OID_TIMESTAMPTZ, PG_OID_QCHAR,   PG_OID_JSONB,   PG_OID_UUID,     PG_OID_TIME, PG_OID_TIMETZ,    PG_OID_INTERVAL,
    PG_OID_INET,        PG_OID_CIDR,    PG_OID_MACADDR, PG_OID_MACADDR8, PG_OID_BIT,  PG_OID_LSN,       PG_OID_BOX,
};
/* numeric without precision, numeric(9,2), numeric(38,10) */
static const int32_t typmods[] = {-1, (9 << 16 | 2) + 4, (38 << 16 | 10) + 4};

static struct relation_column column_of(uint8_t pick)
{
    uint32_t i = pick % ARRAY_LEN(oids);
    bool array = pick / ARRAY_LEN(oids) % 2;
    struct relation_column col = {.name = STR("c"), .typtype = 'b', .typmod = -1};

    if (oids[i] == PG_OID_NUMERIC)
        col.typmod = typmods[i - 7];
    col.type_oid = array ? 1 : oids[i];
    col.elem_oid = array ? oids[i] : 0;
    return col;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n < 2)
        return 0;
    struct relation_column col = column_of(data[0]);
    struct schema *s = schema_new();
    enum pg_kind kind;
    s->n_fields = 1;
    s->fields = ARENA_NEW(&s->arena, struct field);
    pg_type_map(&col, &s->arena, &s->fields[0].type, &kind);
    struct pg_value_codec codec = pg_value_codec_of(&col);
    struct batch *b = batch_new(s, 4);
    CLEANUP(buf_deinit) struct buf once = {0}, twice = {0};

    batch_add_row(b, OP_INSERT, (struct position){0}, 0);
    batch_add_row(b, OP_INSERT, (struct position){0}, 0);
    if (pg_value_read(&codec, data[1] & 1 ? 'b' : 't', str_make(data + 2, n - 2), b, b->cols, 0, NULL) == 0) {
        pg_value_text(b->cols, 0, &once);
        codec.delim = ','; /* what pg_value_text writes */
        int rc = pg_value_read(&codec, 't', buf_str(&once), b, b->cols, 1, NULL);
        assert(rc == 0);
        pg_value_text(b->cols, 1, &twice);
        assert(str_eq(buf_str(&once), buf_str(&twice)));
    } else {
        assert(!column_is_valid(b->cols, 0) && (!b->cols->child || !b->cols->child->n));
    }
    batch_free(b);
    schema_unref(s);
    return 0;
}
