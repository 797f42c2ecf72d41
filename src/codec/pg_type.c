/* PostgreSQL types to Delta types: two tables, by OID, and the type modifier of numeric. */
#include "codec/pg_type.h"

static const struct {
    uint32_t oid;
    enum pg_kind kind;
} kinds[] = {
    {PG_OID_BOOL, PG_BOOL},       {PG_OID_INT2, PG_INT2},         {PG_OID_INT4, PG_INT4},
    {PG_OID_INT8, PG_INT8},       {PG_OID_OID, PG_OID},           {PG_OID_XID, PG_OID},
    {PG_OID_CID, PG_OID},         {PG_OID_FLOAT4, PG_FLOAT4},     {PG_OID_FLOAT8, PG_FLOAT8},
    {PG_OID_NUMERIC, PG_NUMERIC}, {PG_OID_DATE, PG_DATE},         {PG_OID_TIMESTAMP, PG_TIMESTAMP},
    {PG_OID_BYTEA, PG_BYTEA},     {PG_OID_TEXT, PG_TEXT},         {PG_OID_TIMESTAMPTZ, PG_TIMESTAMPTZ},
    {PG_OID_VARCHAR, PG_TEXT},    {PG_OID_BPCHAR, PG_TEXT},       {PG_OID_NAME, PG_TEXT},
    {PG_OID_JSON, PG_TEXT},       {PG_OID_XML, PG_TEXT},          {PG_OID_QCHAR, PG_QCHAR},
    {PG_OID_JSONB, PG_JSONB},     {PG_OID_UUID, PG_UUID},         {PG_OID_TIME, PG_TIME},
    {PG_OID_TIMETZ, PG_TIMETZ},   {PG_OID_INTERVAL, PG_INTERVAL}, {PG_OID_INET, PG_INET},
    {PG_OID_CIDR, PG_INET},       {PG_OID_MACADDR, PG_MACADDR},   {PG_OID_MACADDR8, PG_MACADDR8},
    {PG_OID_BIT, PG_BIT},         {PG_OID_VARBIT, PG_BIT},        {PG_OID_LSN, PG_LSN},
};

static const enum type_id types[] = {
    [PG_BOOL] = TYPE_BOOLEAN,  [PG_INT2] = TYPE_SHORT,
    [PG_INT4] = TYPE_INTEGER,  [PG_INT8] = TYPE_LONG,
    [PG_OID] = TYPE_LONG,      [PG_FLOAT4] = TYPE_FLOAT,
    [PG_FLOAT8] = TYPE_DOUBLE, [PG_DECIMAL] = TYPE_DECIMAL,
    [PG_DATE] = TYPE_DATE,     [PG_TIMESTAMP] = TYPE_TIMESTAMP_NTZ,
    [PG_BYTEA] = TYPE_BINARY,  [PG_TIMESTAMPTZ] = TYPE_TIMESTAMP,
};

bool pg_type_is_array(const struct relation_column *col)
{
    switch (col->type_oid) {
    case PG_OID_NAME:
    case PG_OID_INT2VECTOR:
    case PG_OID_OIDVECTOR:
    case PG_OID_POINT:
    case PG_OID_LSEG:
    case PG_OID_BOX:
    case PG_OID_LINE:
        return false;
    default:
        return col->elem_oid != 0;
    }
}

/* numeric's type modifier: precision and scale (11 bits, signed since PostgreSQL 15), 4 added. */
static bool decimal_of(int32_t typmod, struct type *ret)
{
    if (typmod < 4)
        return false;
    int32_t precision = (typmod - 4) >> 16, scale = (((typmod - 4) & 0x7ff) ^ 1024) - 1024;
    if (precision < 1 || precision > 38 || scale < 0 || scale > precision)
        return false;
    *ret = (struct type){.id = TYPE_DECIMAL, .precision = (uint8_t)precision, .scale = (uint8_t)scale};
    return true;
}

static enum pg_kind map_scalar(uint32_t oid, char typtype, int32_t typmod, struct type *ret)
{
    enum pg_kind kind = typtype == 'e' ? PG_TEXT : PG_TEXT_ONLY; /* an enum's binary form is its label */

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (kinds[i].oid == oid)
            kind = kinds[i].kind;
    if (kind == PG_NUMERIC && decimal_of(typmod, ret))
        return PG_DECIMAL;
    *ret = (struct type){.id = kind < PG_TEXT ? types[kind] : TYPE_STRING};
    return kind;
}

void pg_type_map(const struct relation_column *col, struct arena *arena, struct type *ret_type, enum pg_kind *ret_kind)
{
    struct type scalar;
    bool array = pg_type_is_array(col);

    *ret_kind = map_scalar(array ? col->elem_oid : col->type_oid, col->typtype, col->typmod, &scalar);
    if (!array) {
        *ret_type = scalar;
        return;
    }
    struct field *element = ARENA_NEW(arena, struct field);
    *element = (struct field){.name = STR("element"), .physical = STR("element"), .type = scalar, .nullable = true};
    *ret_type = (struct type){.id = TYPE_ARRAY, .n_children = 1, .children = element};
}

bool pg_type_binary_safe(const struct relation_column *col)
{
    struct type unused;
    uint32_t oid = pg_type_is_array(col) ? col->elem_oid : col->type_oid;

    return map_scalar(oid, col->typtype, col->typmod, &unused) != PG_TEXT_ONLY;
}
