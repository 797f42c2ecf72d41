/*
 * Bounds of partitions, as pg_get_expr(relpartbound) prints them:
 *
 *   FOR VALUES FROM (1, MINVALUE) TO ('2024-01-01', MAXVALUE)
 *   FOR VALUES IN ('a', NULL, 5)
 *
 * (standard_conforming_strings is on: in a literal only quotes are doubled.)
 */
#include "codec/pg_bounds.h"

#include "codec/pg_type.h"

#include <assert.h>

enum { FIELD_END = '\x1f' };

/* ---- reading ---- */

static bool take(struct str *s, const char *word)
{
    struct str w = str_of(word);

    if (!str_has_prefix(*s, w))
        return false;
    *s = str_make(s->p + w.n, s->n - w.n);
    return true;
}

/* 'it''s' */
static bool take_literal(struct str *s, struct arena *arena, struct str *ret)
{
    char *text = ARENA_NEW_N(arena, char, s->n + 1);
    size_t n = 0, i = 1;

    while (i < s->n) {
        bool quote = s->p[i] == '\'', twice = quote && i + 1 < s->n && s->p[i + 1] == '\'';
        i += 1 + twice;
        if (quote && !twice) {
            *s = str_make(s->p + i, s->n - i);
            *ret = str_make(text, n);
            return true;
        }
        text[n++] = s->p[i - 1];
    }
    return false;
}

static bool take_bound(struct str *s, struct arena *arena, struct pg_bound *ret)
{
    size_t n = 0;

    *ret = (struct pg_bound){0};
    if (s->n && s->p[0] == '\'')
        return take_literal(s, arena, &ret->text);
    while (n < s->n && s->p[n] != ',' && s->p[n] != ')')
        n++;
    ret->text = str_make(s->p, n);
    *s = str_make(s->p + n, s->n - n);
    if (str_is(ret->text, "NULL"))
        ret->kind = PG_BOUND_NULL;
    else if (str_is(ret->text, "MINVALUE"))
        ret->kind = PG_BOUND_MIN;
    else if (str_is(ret->text, "MAXVALUE"))
        ret->kind = PG_BOUND_MAX;
    else if (str_is(ret->text, "true") || str_is(ret->text, "false"))
        ret->text.n = 1;                     /* as a boolean's output has it */
    for (size_t i = 0; i < ret->text.n; i++) /* a number, a word: else it is something that we do not know */
        if (!strchr("+-.0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", ret->text.p[i]))
            return false;
    return n > 0;
}

/* "(a, b)". `*ret` has room for as many as the text has commas, and one. */
static bool take_list(struct str *s, struct arena *arena, struct pg_bound **ret, uint32_t *ret_n)
{
    uint32_t cap = 1;

    for (size_t i = 0; i < s->n; i++)
        cap += s->p[i] == ',';
    *ret = ARENA_NEW_N(arena, struct pg_bound, cap);
    *ret_n = 0;
    if (!take(s, "("))
        return false;
    do {
        if (*ret_n >= cap || !take_bound(s, arena, &(*ret)[(*ret_n)++]))
            return false;
    } while (take(s, ", "));
    return take(s, ")");
}

static bool read_bound(struct str s, struct arena *arena, struct pg_bound_level *level)
{
    uint32_t n_lower, n_upper;

    if (level->strategy == 'l')
        return level->n_keys == 1 && take(&s, "FOR VALUES IN ") &&
               take_list(&s, arena, &level->values, &level->n_values) && !s.n;
    return level->strategy == 'r' && take(&s, "FOR VALUES FROM ") && take_list(&s, arena, &level->lower, &n_lower) &&
           take(&s, " TO ") && take_list(&s, arena, &level->upper, &n_upper) && !s.n && n_lower == level->n_keys &&
           n_upper == level->n_keys;
}

static bool read_key(struct str key, struct pg_bound_level *level)
{
    if (!key.n)
        return false;
    level->strategy = key.p[0];
    for (key = str_make(key.p + 1, key.n - 1); key.p;) {
        int64_t attnum;
        if (level->n_keys == PG_BOUNDS_KEYS || !str_to_i64(str_split(&key, ','), &attnum) || attnum <= 0 ||
            attnum > INT16_MAX)
            return false;
        level->attnums[level->n_keys++] = (int16_t)attnum;
    }
    return true;
}

bool pg_bounds_read_head(struct str entry, struct pg_bounds_head *ret)
{
    *ret = (struct pg_bounds_head){0};
    if (!str_to_u64(str_split(&entry, FIELD_END), &ret->oid) || !str_to_u64(str_split(&entry, FIELD_END), &ret->link))
        return false;
    ret->name = str_split(&entry, FIELD_END);
    ret->levels = entry;
    return entry.n > 0;
}

bool pg_bounds_read(struct str entry, struct arena *arena, struct pg_bounds *ret)
{
    struct pg_bounds_head head;
    uint32_t cap = 1;

    *ret = (struct pg_bounds){0};
    for (size_t i = 0; i < entry.n; i++)
        cap += entry.p[i] == FIELD_END;
    ret->levels = ARENA_NEW_N(arena, struct pg_bound_level, cap);
    if (!pg_bounds_read_head(entry, &head))
        return false;
    ret->name = head.name;
    while (head.levels.p) {
        struct pg_bound_level *level = &ret->levels[ret->n_levels++];
        struct str key = str_split(&head.levels, FIELD_END);
        *level = (struct pg_bound_level){0};
        if (!head.levels.p || !read_key(key, level) || !read_bound(str_split(&head.levels, FIELD_END), arena, level))
            return false;
    }
    return true;
}

/* ---- what can be told ---- */

static enum pg_kind kind_of(const struct relation_column *col)
{
    CLEANUP(arena_deinit) struct arena arena = {0};
    struct type type;
    enum pg_kind kind;

    pg_type_map(col, &arena, &type, &kind);
    return pg_type_is_array(col) ? PG_TEXT_ONLY : kind;
}

/* Has the type values that the lake has no place for? */
static bool has_more_values(enum pg_kind kind)
{
    return kind == PG_DATE || kind == PG_TIMESTAMP || kind == PG_TIMESTAMPTZ || kind == PG_DECIMAL;
}

static bool lists_null(const struct pg_bound_level *level)
{
    for (uint32_t i = 0; i < level->n_values; i++)
        if (level->values[i].kind == PG_BOUND_NULL)
            return true;
    return false;
}

bool pg_bounds_tell(const struct pg_bound_level *level, uint32_t k, const struct relation_column *col)
{
    enum pg_kind kind = kind_of(col);
    bool list = level->strategy == 'l';

    assert(k < level->n_keys);
    (void)k;
    switch (kind) {
    case PG_INT2:
    case PG_INT4:
    case PG_INT8:
    case PG_UUID: /* its text is in the order of its bytes */
        return true;
    case PG_BOOL:
        return list;
    case PG_DATE:
    case PG_TIMESTAMP:
    case PG_TIMESTAMPTZ:
    case PG_DECIMAL: /* NULL in the lake may be another value, too */
        return !list || !lists_null(level);
    case PG_TEXT: /* of a range, the key's collation is C; an enum's order is its own */
        return col->type_oid == PG_OID_TEXT || col->type_oid == PG_OID_VARCHAR || (list && col->typtype == 'e');
    default:
        return false;
    }
}

bool pg_bounds_may_be_null(const struct pg_bound_level *level, uint32_t k, const struct relation_column *col)
{
    return level->strategy == 'r' && has_more_values(kind_of(col)) &&
           (level->n_keys > 1 || level->lower[k].kind == PG_BOUND_MIN || level->upper[k].kind == PG_BOUND_MAX);
}

/* ---- the condition ---- */

struct render {
    const struct pg_bounds_writer *w;
    const struct pg_bound_level *level;
    struct buf *out;
};

static int add_comparison(struct render *r, uint32_t k, const char *op, struct str value, struct err *err)
{
    TRY(r->w->column(r->w->ctx, r->level->attnums[k], r->out, err));
    buf_printf(r->out, " %s ", op);
    return r->w->value(r->w->ctx, r->level->attnums[k], value, r->out, err);
}

/*
 * The keys from k on against those of an end of the range, as one compares words:
 *   lower, which is within    a > x OR (a = x AND …)    of the last key: a >= x
 *   upper, which is not       a < x OR (a = x AND …)                     a < x
 */
static int add_end(struct render *r, bool lower, uint32_t k, struct err *err)
{
    const struct pg_bound *b = lower ? &r->level->lower[k] : &r->level->upper[k];

    if (b->kind != PG_BOUND_VALUE) { /* MINVALUE is below every value, whatever the keys after it are */
        buf_add_cstr(r->out, lower == (b->kind == PG_BOUND_MIN) ? "true" : "false");
        return 0;
    }
    if (k + 1 == r->level->n_keys)
        return add_comparison(r, k, lower ? ">=" : "<", b->text, err);
    buf_add_char(r->out, '(');
    TRY(add_comparison(r, k, lower ? ">" : "<", b->text, err));
    buf_add_cstr(r->out, " OR (");
    TRY(add_comparison(r, k, "=", b->text, err));
    buf_add_cstr(r->out, " AND ");
    TRY(add_end(r, lower, k + 1, err));
    buf_add_cstr(r->out, "))");
    return 0;
}

static int add_range(struct render *r, struct err *err)
{
    const struct pg_bound_level *level = r->level;

    for (uint32_t k = 0; k < level->n_keys; k++) { /* NULL is in no range */
        TRY(r->w->column(r->w->ctx, level->attnums[k], r->out, err));
        buf_add_cstr(r->out, " IS NOT NULL AND ");
    }
    if (level->n_keys > 1 && level->lower[0].kind == PG_BOUND_VALUE) { /* so that planners see it */
        TRY(add_comparison(r, 0, ">=", level->lower[0].text, err));
        buf_add_cstr(r->out, " AND ");
    }
    if (level->n_keys > 1 && level->upper[0].kind == PG_BOUND_VALUE) {
        TRY(add_comparison(r, 0, "<=", level->upper[0].text, err));
        buf_add_cstr(r->out, " AND ");
    }
    TRY(add_end(r, true, 0, err));
    buf_add_cstr(r->out, " AND ");
    return add_end(r, false, 0, err);
}

static int add_values(struct render *r, struct err *err)
{
    uint32_t n = 0;

    buf_add_char(r->out, '(');
    for (uint32_t i = 0; i < r->level->n_values; i++) {
        const struct pg_bound *b = &r->level->values[i];
        if (b->kind == PG_BOUND_NULL)
            continue;
        if (n++)
            buf_add_cstr(r->out, ", ");
        else {
            TRY(r->w->column(r->w->ctx, r->level->attnums[0], r->out, err));
            buf_add_cstr(r->out, " IN (");
        }
        TRY(r->w->value(r->w->ctx, r->level->attnums[0], b->text, r->out, err));
    }
    if (n)
        buf_add_char(r->out, ')');
    if (lists_null(r->level)) {
        buf_add_cstr(r->out, n ? " OR " : "");
        TRY(r->w->column(r->w->ctx, r->level->attnums[0], r->out, err));
        buf_add_cstr(r->out, " IS NULL");
    }
    buf_add_char(r->out, ')');
    return 0;
}

int pg_bounds_add_sql(const struct pg_bounds *b, const struct pg_bounds_writer *w, struct buf *out, struct err *err)
{
    buf_add_char(out, '(');
    for (uint32_t i = 0; i < b->n_levels; i++) {
        struct render r = {w, &b->levels[i], out};
        buf_add_cstr(out, i ? " AND " : "");
        TRY(b->levels[i].strategy == 'r' ? add_range(&r, err) : add_values(&r, err));
    }
    buf_add_char(out, ')');
    return 0;
}
