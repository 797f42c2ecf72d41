/* Change batches: growable columns. */
#include "model/batch.h"

#include "base/mem.h"

#include <assert.h>

uint32_t type_width(const struct type *t)
{
    switch (t->id) {
    case TYPE_BOOLEAN:
    case TYPE_BYTE:
        return 1;
    case TYPE_SHORT:
        return 2;
    case TYPE_INTEGER:
    case TYPE_DATE:
    case TYPE_FLOAT:
        return 4;
    case TYPE_DECIMAL:
        return t->precision <= 4 ? 2 : t->precision <= 9 ? 4 : t->precision <= 18 ? 8 : 16;
    case TYPE_STRING:
    case TYPE_BINARY:
    case TYPE_ARRAY:
        return 16;
    default:
        return 8;
    }
}

static size_t bit_words(uint32_t n)
{
    return ((size_t)n + 63) / 64;
}

static uint64_t *grow_bits(uint64_t *bits, uint32_t old_cap, uint32_t cap)
{
    size_t old = bit_words(old_cap), now = bit_words(cap);

    bits = mem_realloc_n(bits, now, sizeof *bits);
    memset(bits + old, 0, (now - old) * sizeof *bits);
    return bits;
}

static void column_reserve(struct column *c, uint32_t cap)
{
    if (cap <= c->cap)
        return;
    c->data = mem_realloc_n(c->data, cap, c->width);
    memset((char *)c->data + (size_t)c->cap * c->width, 0, (size_t)(cap - c->cap) * c->width);
    c->valid = grow_bits(c->valid, c->cap, cap);
    if (c->missing)
        c->missing = grow_bits(c->missing, c->cap, cap);
    c->cap = cap;
}

static void column_init(struct column *c, const struct type *type)
{
    *c = (struct column){.type = type, .width = type_width(type)};
    if (type->id == TYPE_ARRAY) {
        c->child = MEM_NEW(struct column);
        column_init(c->child, &type->children[0].type);
    }
}

static void column_deinit(struct column *c)
{
    if (c->child)
        column_deinit(c->child);
    mem_free(c->child);
    mem_free(c->data);
    mem_free(c->valid);
    mem_free(c->missing);
}

static void batch_reserve(struct batch *b, uint32_t cap)
{
    b->op = mem_realloc_n(b->op, cap, sizeof *b->op);
    b->pos = mem_realloc_n(b->pos, cap, sizeof *b->pos);
    b->commit_us = mem_realloc_n(b->commit_us, cap, sizeof *b->commit_us);
    for (uint32_t i = 0; i < b->schema->n_fields; i++)
        column_reserve(&b->cols[i], cap);
    b->cap = cap;
}

const char *batch_op_name(enum batch_op op)
{
    switch (op) {
    case OP_READ:
        return "read";
    case OP_INSERT:
        return "insert";
    case OP_UPDATE:
        return "update";
    case OP_BEFORE:
        return "before";
    default:
        return "delete";
    }
}

struct batch *batch_new(const struct schema *schema, uint32_t cap)
{
    struct batch *b = MEM_NEW(struct batch);

    b->schema = schema_ref(schema);
    b->cols = MEM_NEW_N(struct column, schema->n_fields);
    for (uint32_t i = 0; i < schema->n_fields; i++)
        column_init(&b->cols[i], &b->schema->fields[i].type);
    batch_reserve(b, MAX(cap, 16u));
    return b;
}

void batch_free(struct batch *b)
{
    if (!b)
        return;
    for (uint32_t i = 0; i < b->schema->n_fields; i++)
        column_deinit(&b->cols[i]);
    mem_free(b->cols);
    mem_free(b->op);
    mem_free(b->pos);
    mem_free(b->commit_us);
    arena_deinit(&b->arena);
    schema_unref(b->schema);
    mem_free(b);
}

static void column_retype(struct column *c, const struct type *type)
{
    c->type = type;
    if (c->child)
        column_retype(c->child, &type->children[0].type);
}

void batch_add_column(struct batch *b, const struct schema *wider)
{
    uint32_t n = b->schema->n_fields;

    assert(wider->n_fields == n + 1);
    b->cols = mem_realloc_n(b->cols, n + 1, sizeof *b->cols);
    schema_unref(b->schema);
    b->schema = schema_ref(wider);
    for (uint32_t i = 0; i < n; i++)
        column_retype(&b->cols[i], &wider->fields[i].type);
    column_init(&b->cols[n], &wider->fields[n].type);
    column_reserve(&b->cols[n], b->cap);
    b->bytes += (size_t)b->n * b->cols[n].width;
}

uint32_t batch_add_row(struct batch *b, enum batch_op op, struct position pos, int64_t commit_us)
{
    if (b->n == b->cap)
        batch_reserve(b, b->cap * 2);
    uint32_t i = b->n++;
    b->op[i] = (uint8_t)op;
    b->pos[i] = pos;
    b->commit_us[i] = commit_us;
    b->bytes += 1 + sizeof *b->pos + sizeof *b->commit_us;
    for (uint32_t c = 0; c < b->schema->n_fields; c++)
        b->bytes += b->cols[c].width;
    return i;
}

void column_set(struct column *c, uint32_t i, const void *value)
{
    memcpy((char *)c->data + (size_t)i * c->width, value, c->width);
    bit_set(c->valid, i);
    if (c->missing)
        bit_clear(c->missing, i);
}

void column_set_null(struct column *c, uint32_t i)
{
    bit_clear(c->valid, i);
    if (c->missing)
        bit_clear(c->missing, i);
}

void column_set_missing(struct column *c, uint32_t i)
{
    if (!c->missing)
        c->missing = grow_bits(NULL, 0, c->cap);
    bit_clear(c->valid, i);
    bit_set(c->missing, i);
}

void column_set_str(struct batch *b, struct column *c, uint32_t i, struct str s)
{
    struct strview v = {.len = (uint32_t)s.n};

    assert(s.n <= UINT32_MAX);
    if (s.n <= 12) {
        char inline_bytes[12] = {0};
        memcpy(inline_bytes, s.n ? s.p : "", s.n);
        memcpy(v.prefix, inline_bytes, 4);
        memcpy(v.rest, inline_bytes + 4, 8);
    } else {
        v.p = arena_dup(&b->arena, s.p, s.n);
        memcpy(v.prefix, s.p, 4);
        b->bytes += s.n;
    }
    column_set(c, i, &v);
}

struct str column_str(const struct column *c, uint32_t i)
{
    const struct strview *v = (const struct strview *)c->data + i;

    return str_make(v->len <= 12 ? v->prefix : v->p, v->len);
}

uint32_t column_child_add(struct column *c)
{
    struct column *child = c->child;

    if (child->n == child->cap)
        column_reserve(child, child->cap ? child->cap * 2 : 64);
    return child->n++;
}

void column_set_list(struct column *c, uint32_t i, uint64_t offset, uint64_t length)
{
    struct listview v = {offset, length};

    column_set(c, i, &v);
}

void column_copy(struct batch *to_batch, struct column *to, uint32_t i, const struct column *from, uint32_t j)
{
    assert(to->type->id == from->type->id);
    if (column_is_missing(from, j)) {
        column_set_missing(to, i);
    } else if (!column_is_valid(from, j)) {
        column_set_null(to, i);
    } else if (to->type->id == TYPE_STRING || to->type->id == TYPE_BINARY) {
        column_set_str(to_batch, to, i, column_str(from, j));
    } else if (to->type->id == TYPE_ARRAY) {
        struct listview v = ((const struct listview *)from->data)[j];
        uint64_t offset = to->child->n;
        for (uint64_t e = 0; e < v.length; e++) {
            uint32_t at = column_child_add(to);
            column_copy(to_batch, to->child, at, from->child, (uint32_t)(v.offset + e));
        }
        column_set_list(to, i, offset, v.length);
        to_batch->bytes += v.length * to->child->width;
    } else {
        column_set(to, i, (const char *)from->data + (size_t)j * from->width);
    }
}
