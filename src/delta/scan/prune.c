/*
 * A condition over what is known of a file. Each part gives the set of what it may come to, of true, false and NULL:
 *
 *   day = DATE '2024-01-02' AND NOT (id < 5 OR f(name))
 *   {false}                      {t,f}   {t,f,n}           → {false}: the file is not needed
 *
 * and each operand a range: its bounds, and whether it may be NULL or something else. Statistics are parsed only when a
 * part asks for them, after the partition values could not tell.
 */
#include "delta/scan/prune.h"

#include "base/mem.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <yyjson.h>

enum { T = 1, F = 2, N = 4, ANY = 7 };

#define US_A_DAY INT64_C(86400000000)
#define STATS_SLACK_US 999       /* timestamps are cut to milliseconds */
#define GREGORIAN_DAYS (-141427) /* 1582-10-15: older ones may have been counted by another calendar */

enum op { UNKNOWN, CONSTANT, COLUMN, CAST, COMPARE, AND, OR, NOT, IS_NULL, IN, PREFIX };

struct prune {
    enum op op;
    bool partition; /* COLUMN: its value is the file's */
    uint8_t scale;  /* CAST */
    enum prune_compare compare;
    enum prune_cast to;
    uint32_t n, n_path;
    struct prune **args;
    struct prune_value *values; /* CONSTANT: one, none is NULL; IN: n_values, sorted; PREFIX: one */
    size_t n_values;
    const struct str *path;    /* COLUMN: physical names, the outermost first */
    const struct field *field; /* COLUMN: the innermost */
};

/* A file under judgement. */
struct look {
    const struct delta_file *file;
    struct delta_stats_reader *stats;
    bool parsed, with_stats;
    yyjson_doc *doc;
    yyjson_val *min, *max, *nulls;
};

/* What an operand may be in a file. */
struct range {
    bool may_null, may_value;
    bool has_min, has_max;
    bool exact; /* it is that one value */
    bool open;  /* TEXT: max may be cut, so that what starts with it may be there, too */
    bool nan;   /* REAL: NaN may be there, too */
    struct prune_value min, max;
};

/* ---- trees ---- */

static struct prune *node(const struct prune_scope *s, enum op op, struct prune *const *args, uint32_t n)
{
    struct prune *p = ARENA_NEW(s->arena, struct prune);

    p->op = op;
    p->n = n;
    p->args = n ? arena_dup(s->arena, args, n * sizeof(struct prune *)) : NULL;
    return p;
}

struct prune *prune_unknown(const struct prune_scope *s)
{
    return node(s, UNKNOWN, NULL, 0);
}

static struct prune *column_node(const struct prune_scope *s, const struct field *f, const struct str *path, uint32_t n)
{
    struct prune *p = node(s, COLUMN, NULL, 0);
    struct str *names = ARENA_NEW_N(s->arena, struct str, n + 1);

    if (n)
        memcpy(names, path, n * sizeof *names);
    names[n] = f->physical;
    p->path = names;
    p->n_path = n + 1;
    p->field = f;
    return p;
}

struct prune *prune_field(const struct prune_scope *s, const struct prune *parent, struct str name)
{
    const struct type *t = parent->op == COLUMN ? &parent->field->type : NULL;

    for (uint32_t i = 0; t && t->id == TYPE_STRUCT && i < t->n_children; i++)
        if (str_eq_nocase(t->children[i].name, name))
            return column_node(s, &t->children[i], parent->path, parent->n_path);
    return prune_unknown(s);
}

struct prune *prune_column(const struct prune_scope *s, const struct str *path, uint32_t n)
{
    const struct delta_metadata *m = s->head->metadata;
    int i = schema_find(s->head->schema, path[0]);

    if (i < 0)
        return prune_unknown(s);
    struct prune *p = column_node(s, &s->head->schema->fields[i], NULL, 0);
    for (uint32_t k = 0; k < m->n_partition_columns; k++)
        p->partition |= schema_find(s->head->schema, m->partition_columns[k]) == i;
    for (uint32_t k = 1; k < n; k++)
        p = prune_field(s, p, path[k]);
    return p;
}

struct prune *prune_null(const struct prune_scope *s)
{
    return node(s, CONSTANT, NULL, 0);
}

struct prune *prune_constant(const struct prune_scope *s, const struct prune_value *value)
{
    struct prune *p = node(s, CONSTANT, NULL, 0);

    p->values = arena_dup(s->arena, value, sizeof *value);
    p->values->text = arena_str(s->arena, value->text);
    p->n_values = 1;
    return p;
}

struct prune *prune_cast(const struct prune_scope *s, struct prune *operand, enum prune_cast to, uint8_t scale)
{
    struct prune *p = node(s, CAST, &operand, 1);

    p->to = to;
    p->scale = scale;
    return p;
}

struct prune *prune_compare(const struct prune_scope *s, enum prune_compare op, struct prune *a, struct prune *b)
{
    struct prune *p = node(s, COMPARE, (struct prune *[]){a, b}, 2);

    p->compare = op;
    return p;
}

struct prune *prune_and(const struct prune_scope *s, struct prune *const *v, uint32_t n)
{
    return node(s, AND, v, n);
}

struct prune *prune_or(const struct prune_scope *s, struct prune *const *v, uint32_t n)
{
    return node(s, OR, v, n);
}

struct prune *prune_not(const struct prune_scope *s, struct prune *a)
{
    return node(s, NOT, &a, 1);
}

struct prune *prune_is_null(const struct prune_scope *s, struct prune *a)
{
    return node(s, IS_NULL, &a, 1);
}

static int by_value(const void *a, const void *b)
{
    return prune_value_cmp(a, b);
}

struct prune *prune_in(const struct prune_scope *s, struct prune *a, const struct prune_value *values, size_t n)
{
    struct prune *p = node(s, IN, &a, 1);

    for (size_t i = 1; i < n; i++)
        if (values[i].kind != values[0].kind)
            return prune_unknown(s);
    p->values = n ? arena_dup(s->arena, values, n * sizeof *values) : NULL;
    p->n_values = n;
    if (n)
        qsort(p->values, n, sizeof *values, by_value);
    return p;
}

struct prune *prune_prefix(const struct prune_scope *s, struct prune *a, struct str text)
{
    struct prune *p = node(s, PREFIX, &a, 1);

    p->values = ARENA_NEW(s->arena, struct prune_value);
    *p->values = (struct prune_value){.kind = PRUNE_TEXT, .text = arena_str(s->arena, text)};
    p->n_values = 1;
    return p;
}

/* ---- ranges ---- */

static const struct range ANYTHING = {.may_null = true, .may_value = true, .open = true, .nan = true};

static void parse_stats(struct look *look)
{
    struct str stats = delta_stats_read(look->stats, look->file);
    const yyjson_read_flag flags =
        YYJSON_READ_NUMBER_AS_RAW | YYJSON_READ_ALLOW_INF_AND_NAN | YYJSON_READ_ALLOW_INVALID_UNICODE;

    look->parsed = true;
    look->doc = stats.n ? yyjson_read(stats.p, stats.n, flags) : NULL;
    yyjson_val *root = yyjson_doc_get_root(look->doc);
    look->min = yyjson_obj_get(root, "minValues");
    look->max = yyjson_obj_get(root, "maxValues");
    look->nulls = yyjson_obj_get(root, "nullCount");
}

/* The text of a leaf; p NULL when there is none. */
static struct str leaf(yyjson_val *v, const struct prune *column)
{
    for (uint32_t i = 0; i < column->n_path; i++)
        v = yyjson_obj_getn(v, column->path[i].p, column->path[i].n);
    if (yyjson_is_raw(v))
        return str_make(yyjson_get_raw(v), yyjson_get_len(v));
    if (yyjson_is_bool(v))
        return yyjson_get_bool(v) ? STR("true") : STR("false");
    return yyjson_is_str(v) ? str_make(yyjson_get_str(v), yyjson_get_len(v)) : (struct str){0};
}

/* Bounds that tell nothing: NaN, and days that the writer may have counted otherwise than the file's reader does. */
static bool is_bound(const struct field *f, const struct prune_value *v)
{
    if (v->kind == PRUNE_REAL) /* a float that became a double: the text is that of the float */
        return !isnan(v->real) && !(f->type.id == TYPE_DOUBLE && field_meta_get(f, STR("delta.typeChanges")).p);
    if (f->type.id == TYPE_DATE)
        return v->number >= GREGORIAN_DAYS;
    if (f->type.id == TYPE_TIMESTAMP || f->type.id == TYPE_TIMESTAMP_NTZ)
        return v->number >= (__int128)GREGORIAN_DAYS * US_A_DAY;
    return true;
}

/* A bound out of the statistics; false: it tells nothing. */
static bool bound_read(const struct field *f, struct str text, bool up, struct prune_value *ret)
{
    return text.p && prune_value_read(&f->type, text, up ? STATS_SLACK_US : 0, ret) && is_bound(f, ret) &&
           (f->type.id != TYPE_DECIMAL || prune_decimal_loosen(&f->type, text, up, ret));
}

static struct range stats_range(const struct prune *p, struct look *look)
{
    enum type_id id = p->field->type.id;
    struct range r = {
        .may_null = true, .may_value = true, .open = id == TYPE_STRING, .nan = id == TYPE_FLOAT || id == TYPE_DOUBLE};
    int64_t nulls;

    if (!look->with_stats)
        return r;
    if (!look->parsed)
        parse_stats(look);
    if (str_to_i64(leaf(look->nulls, p), &nulls)) {
        r.may_null = nulls != 0;
        r.may_value = nulls != look->file->num_records;
    }
    r.has_min = bound_read(p->field, leaf(look->min, p), false, &r.min);
    r.has_max = bound_read(p->field, leaf(look->max, p), true, &r.max);
    r.exact = r.has_min && r.has_max && r.min.kind == PRUNE_NUMBER && prune_value_cmp(&r.min, &r.max) == 0;
    return r;
}

static struct range one_value(const struct prune_value *v)
{
    return (struct range){.may_value = true,
                          .has_min = true,
                          .has_max = true,
                          .exact = true,
                          .nan = v->kind == PRUNE_REAL && isnan(v->real),
                          .min = *v,
                          .max = *v};
}

static struct range partition_range(const struct prune *p, const struct look *look)
{
    struct str text = delta_kv_get(look->file->parts, look->file->n_parts, p->field->physical);
    struct prune_value v;
    struct range r = ANYTHING;

    if (!text.n)
        return (struct range){.may_null = true}; /* "" is NULL, for every type */
    if (prune_value_read(&p->field->type, text, 0, &v))
        return one_value(&v);
    r.may_null = false;
    return r;
}

static bool number_to_real(struct prune_value *v, bool up)
{
    double d = (double)v->number;

    for (unsigned i = 0; i < v->scale; i++)
        d /= 10;
    /* rounded elsewhere in another way, perhaps to a float: a little off is enough */
    d += (up ? 1 : -1) * (fabs(d) * 4 * (double)FLT_EPSILON + FLT_MIN);
    *v = (struct prune_value){.kind = PRUNE_REAL, .real = d};
    return true;
}

/* The bound as the cast makes it of it. */
static bool cast_bound(const struct prune *p, const struct type *from, struct prune_value *v, bool up)
{
    bool instant = from && (from->id == TYPE_TIMESTAMP || from->id == TYPE_TIMESTAMP_NTZ);
    bool plain = from && v->kind == PRUNE_NUMBER && !instant && from->id != TYPE_DATE && from->id != TYPE_BOOLEAN;

    switch (p->to) {
    case PRUNE_TO_NUMBER:
        return plain && (from->id == TYPE_DECIMAL ? from->scale : 0) <= p->scale;
    case PRUNE_TO_REAL:
        return v->kind == PRUNE_REAL ? from && from->id == TYPE_FLOAT : plain && number_to_real(v, up);
    case PRUNE_TO_DATE:
        if (instant)
            v->number = v->number / US_A_DAY - (v->number % US_A_DAY < 0);
        return instant || (from && from->id == TYPE_DATE);
    default:
        if (from && from->id == TYPE_DATE)
            v->number *= US_A_DAY;
        return instant || (from && from->id == TYPE_DATE);
    }
}

static struct range range_of(const struct prune *p, struct look *look);

static struct range cast_range(const struct prune *p, struct look *look)
{
    struct range r = range_of(p->args[0], look);
    const struct type *from = p->args[0]->op == COLUMN ? &p->args[0]->field->type : NULL;

    r.may_null = true; /* TRY_CAST makes NULL of what does not fit */
    r.exact = false;
    r.has_min = r.has_min && cast_bound(p, from, &r.min, false);
    r.has_max = r.has_max && cast_bound(p, from, &r.max, true);
    return r;
}

static unsigned eval(const struct prune *p, struct look *look);

static struct range range_of_truth(unsigned set)
{
    struct range r = {.may_null = set & N, .may_value = set & (T | F), .has_min = true, .has_max = true};

    r.min = (struct prune_value){.kind = PRUNE_NUMBER, .number = !(set & F)};
    r.max = (struct prune_value){.kind = PRUNE_NUMBER, .number = (set & T) != 0};
    r.exact = (set & (T | F)) != (T | F);
    return r;
}

static struct range range_of(const struct prune *p, struct look *look)
{
    switch (p->op) {
    case UNKNOWN:
        return ANYTHING;
    case CONSTANT:
        return p->n_values ? one_value(p->values) : (struct range){.may_null = true};
    case COLUMN:
        return p->partition ? partition_range(p, look) : stats_range(p, look);
    case CAST:
        return cast_range(p, look);
    default:
        return range_of_truth(eval(p, look));
    }
}

/* ---- what may be ---- */

/* May the range hold a value above v (or v itself, unless `strict`)? */
static bool reaches(const struct range *r, const struct prune_value *v, bool nan, bool strict)
{
    if (!r->has_max || (r->nan && nan))
        return true;
    int c = prune_value_cmp(&r->max, v);
    return c > 0 || (c == 0 && !strict) || (r->open && v->kind == PRUNE_TEXT && str_has_prefix(v->text, r->max.text));
}

/* May a value of a be below (or equal to) one of b? */
static bool may_be_below(const struct range *a, const struct range *b, bool strict)
{
    return a->may_value && b->may_value && (!a->has_min || reaches(b, &a->min, true, strict));
}

static bool may_be_equal(const struct range *a, const struct range *b)
{
    bool nan = a->nan && b->nan; /* NaN is equal to NaN alone */

    return a->may_value && b->may_value && (!a->has_min || reaches(b, &a->min, nan, false)) &&
           (!b->has_min || reaches(a, &b->min, nan, false));
}

static bool may_differ(const struct range *a, const struct range *b)
{
    return a->may_value && b->may_value && !(a->exact && b->exact && prune_value_cmp(&a->min, &b->min) == 0);
}

static bool same_kind(const struct range *a, const struct range *b)
{
    const struct prune_value *v[] = {a->has_min ? &a->min : NULL, a->has_max ? &a->max : NULL,
                                     b->has_min ? &b->min : NULL, b->has_max ? &b->max : NULL};
    const struct prune_value *first = NULL;

    for (size_t i = 0; i < ARRAY_LEN(v); i++) {
        if (first && v[i] && v[i]->kind != first->kind)
            return false;
        first = first ? first : v[i];
    }
    return true;
}

static unsigned truth(bool t, bool f, bool n)
{
    return (t ? T : 0) | (f ? F : 0) | (n ? N : 0);
}

static unsigned eval_compare(const struct prune *p, struct look *look)
{
    struct range a = range_of(p->args[0], look), b = range_of(p->args[1], look);
    bool null = a.may_null || b.may_null;

    if (!same_kind(&a, &b))
        return ANY;
    bool equal = may_be_equal(&a, &b), differ = may_differ(&a, &b);
    bool both_null = a.may_null && b.may_null;
    bool one_null = (a.may_null && b.may_value) || (b.may_null && a.may_value);
    switch (p->compare) {
    case PRUNE_EQ:
        return truth(equal, differ, null);
    case PRUNE_NE:
        return truth(differ, equal, null);
    case PRUNE_LT:
        return truth(may_be_below(&a, &b, true), may_be_below(&b, &a, false), null);
    case PRUNE_LE:
        return truth(may_be_below(&a, &b, false), may_be_below(&b, &a, true), null);
    case PRUNE_GT:
        return truth(may_be_below(&b, &a, true), may_be_below(&a, &b, false), null);
    case PRUNE_GE:
        return truth(may_be_below(&b, &a, false), may_be_below(&a, &b, true), null);
    case PRUNE_NOT_DISTINCT:
        return truth(equal || both_null, differ || one_null, false);
    default:
        return truth(differ || one_null, equal || both_null, false);
    }
}

/* The first value of the list that is not below the range's minimum decides: others are farther off. */
static unsigned eval_in(const struct prune *p, struct look *look)
{
    struct range r = range_of(p->args[0], look);
    size_t low = 0, high = p->n_values;
    bool found;

    if (!p->n_values || !r.may_value)
        return truth(false, r.may_value, true);
    const struct prune_value *bound = r.has_min ? &r.min : r.has_max ? &r.max : NULL;
    if (!bound || bound->kind != p->values->kind)
        return ANY;
    while (r.has_min && low < high) {
        size_t mid = low + (high - low) / 2;
        if (prune_value_cmp(&p->values[mid], &r.min) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    found = low < p->n_values && reaches(&r, &p->values[low], false, false);
    if (r.nan && p->values->kind == PRUNE_REAL)
        found = found || isnan(p->values[p->n_values - 1].real); /* sorted last */
    return truth(found, !(found && r.exact), true);
}

static unsigned eval_prefix(const struct prune *p, struct look *look)
{
    struct range r = range_of(p->args[0], look);
    struct str text = p->values->text;
    bool may = r.may_value;

    if ((r.has_min && r.min.kind != PRUNE_TEXT) || (r.has_max && r.max.kind != PRUNE_TEXT))
        return ANY;
    if (r.has_min && str_cmp(r.min.text, text) > 0 && !str_has_prefix(r.min.text, text))
        may = false; /* all that starts with it is below */
    if (may)
        may = reaches(&r, p->values, false, false);
    return truth(may, true, true);
}

static unsigned eval_list(const struct prune *p, struct look *look)
{
    unsigned yes = p->op == AND ? T : F, no = p->op == AND ? F : T, set = yes;

    for (uint32_t i = 0; i < p->n; i++) {
        unsigned x = eval(p->args[i], look), both = 0;
        both |= set & x & yes;
        both |= (set | x) & no;
        if ((set & N && x & (N | yes)) || (x & N && set & (N | yes)))
            both |= N;
        set = both;
        if (set == no)
            break;
    }
    return set;
}

static unsigned eval(const struct prune *p, struct look *look)
{
    unsigned x;

    switch (p->op) {
    case COMPARE:
        return eval_compare(p, look);
    case AND:
    case OR:
        return eval_list(p, look);
    case NOT:
        x = eval(p->args[0], look);
        return truth(x & F, x & T, x & N);
    case IS_NULL: {
        struct range r = range_of(p->args[0], look);
        return truth(r.may_null, r.may_value, false);
    }
    case IN:
        return eval_in(p, look);
    case PREFIX:
        return eval_prefix(p, look);
    default: { /* a boolean */
        static const struct prune_value one = {.kind = PRUNE_NUMBER, .number = 1};
        struct range r = range_of(p, look);
        if ((r.has_min && r.min.kind != PRUNE_NUMBER) || (r.has_max && r.max.kind != PRUNE_NUMBER))
            return ANY;
        return truth(r.may_value && reaches(&r, &one, true, false),
                     r.may_value && (!r.has_min || prune_value_cmp(&r.min, &one) < 0), r.may_null);
    }
    }
}

bool prune_keeps(const struct prune *p, const struct delta_file *file, struct delta_stats_reader *stats)
{
    struct look look = {.file = file, .stats = stats};

    if (!p)
        return true;
    bool keeps = eval(p, &look) & T;
    if (keeps && file->stats.n) {
        look.with_stats = true;
        keeps = eval(p, &look) & T;
    }
    yyjson_doc_free(look.doc);
    return keeps;
}

const struct delta_file **prune_files(const struct prune *p, const struct delta_snapshot *snapshot, struct arena *arena,
                                      uint32_t *ret_n)
{
    const struct delta_file **files = ARENA_NEW_N(arena, const struct delta_file *, snapshot->n_files + 1);
    const struct delta_file *f;
    CLEANUP(delta_stats_reader_deinit) struct delta_stats_reader stats = {0};
    size_t cursor = 0;

    *ret_n = 0;
    while ((f = delta_snapshot_next(snapshot, &cursor)))
        if (prune_keeps(p, f, &stats))
            files[(*ret_n)++] = f;
    return files;
}
