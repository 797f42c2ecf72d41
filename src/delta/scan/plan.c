/*
 * DuckDB's optimized plan, as JSON, read for what stands above the stubs:
 *
 *   {"type":"LOGICAL_FILTER","projection_map":[1],
 *    "expressions":[{"expression_class":"BOUND_COMPARISON","type":"COMPARE_LESSTHAN",
 *                    "left":{"expression_class":"BOUND_REF","index":0,…},"right":{"expression_class":"BOUND_CONSTANT",…}}],
 *    "children":[{"type":"LOGICAL_GET","name":"stub","parameters":[{"value":7,…}],"column_indexes":[{"index":3,…},…]}]}
 *
 * A reference is an index in the columns of the child. Those of a GET are columns of the table; a FILTER passes its child's
 * on; those of a PROJECTION are expressions; a list of constants in IN has become a MARK join, which adds a column that
 * says whether the value is in it. Any other node ends the way, and what is above it is not looked at.
 */
#include "delta/scan/plan.h"

#include "base/mem.h"
#include "codec/parquet_join.h"

#include <ctype.h>
#include <math.h>
#include <yyjson.h>

enum { MAX_DEPTH = 400 };

struct plan {
    struct delta_stub *const *stubs;
    uint32_t n;
    struct found {
        struct prune *any; /* NULL: the plan has not met the stub */
        bool looked_at;    /* somewhere a column of it is needed */
        bool variants;     /* and one that has variants */
    } * found;             /* a stub */
    bool failed;
};

/* Rows of a stub, as they come out of a node: a prune tree a column. */
struct relation {
    struct delta_stub *stub;
    struct prune_scope scope;
    uint32_t n;
    struct prune **columns;
    struct prune *filter; /* NULL: none */
    bool variants;        /* a column of the table has some */
};

static bool is(yyjson_val *v, const char *key, const char *text)
{
    const char *s = yyjson_get_str(yyjson_obj_get(v, key));

    return s && strcmp(s, text) == 0;
}

static uint64_t number(yyjson_val *v, const char *key)
{
    yyjson_val *n = yyjson_obj_get(v, key);

    return yyjson_is_uint(n) ? yyjson_get_uint(n) : UINT64_MAX;
}

/* ---- constants ---- */

/* What a type is to prune.h. */
enum domain { D_OTHER, D_BOOLEAN, D_NUMBER, D_DATE, D_TIMESTAMP, D_FLOAT, D_DOUBLE, D_TEXT };

static enum domain domain_of(yyjson_val *type, uint8_t *ret_scale)
{
    static const struct {
        const char *id;
        enum domain domain;
    } types[] = {
        {"BOOLEAN", D_BOOLEAN},     {"TINYINT", D_NUMBER},
        {"SMALLINT", D_NUMBER},     {"INTEGER", D_NUMBER},
        {"BIGINT", D_NUMBER},       {"HUGEINT", D_NUMBER},
        {"UTINYINT", D_NUMBER},     {"USMALLINT", D_NUMBER},
        {"UINTEGER", D_NUMBER},     {"UBIGINT", D_NUMBER},
        {"DECIMAL", D_NUMBER},      {"DATE", D_DATE},
        {"TIMESTAMP", D_TIMESTAMP}, {"TIMESTAMP WITH TIME ZONE", D_TIMESTAMP},
        {"FLOAT", D_FLOAT},         {"DOUBLE", D_DOUBLE},
        {"VARCHAR", D_TEXT},
    };

    *ret_scale = 0;
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (!is(type, "id", types[i].id))
            continue;
        if (strcmp(types[i].id, "DECIMAL") == 0) {
            uint64_t scale = number(yyjson_obj_get(type, "type_info"), "scale");
            *ret_scale = (uint8_t)scale;
            return scale <= 38 ? D_NUMBER : D_OTHER;
        }
        return types[i].domain;
    }
    return D_OTHER;
}

/* A number, or {"upper":…,"lower":…} of one with 128 bits. */
static bool read_number(yyjson_val *v, struct prune_value *ret)
{
    yyjson_val *upper = yyjson_obj_get(v, "upper"), *lower = yyjson_obj_get(v, "lower");

    if (yyjson_is_bool(v))
        ret->number = yyjson_get_bool(v);
    else if (yyjson_is_uint(v))
        ret->number = yyjson_get_uint(v);
    else if (yyjson_is_sint(v))
        ret->number = yyjson_get_sint(v);
    else if (yyjson_is_int(upper) && yyjson_is_uint(lower))
        ret->number = (__int128)(((unsigned __int128)(uint64_t)yyjson_get_sint(upper) << 64) | yyjson_get_uint(lower));
    else
        return false;
    return true;
}

/* {"type":{…},"is_null":false,"value":5}. False: a type that is not compared. */
static bool read_value(yyjson_val *v, bool *ret_null, struct prune_value *ret)
{
    yyjson_val *value = yyjson_obj_get(v, "value"), *is_null = yyjson_obj_get(v, "is_null");
    uint8_t scale;
    enum domain domain = domain_of(yyjson_obj_get(v, "type"), &scale);

    *ret = (struct prune_value){.scale = scale};
    *ret_null = yyjson_get_bool(is_null);
    if (!yyjson_is_bool(is_null) || *ret_null)
        return yyjson_is_bool(is_null);
    switch (domain) {
    case D_OTHER:
        return false;
    case D_FLOAT:
    case D_DOUBLE:
        ret->kind = PRUNE_REAL;
        ret->real = yyjson_get_num(value);
        return yyjson_is_num(value);
    case D_TEXT:
        ret->kind = PRUNE_TEXT;
        ret->text = str_make(yyjson_get_str(value), yyjson_get_len(value));
        return yyjson_is_str(value);
    default:
        ret->kind = PRUNE_NUMBER;
        return read_number(value, ret);
    }
}

static struct prune *read_constant(const struct relation *r, yyjson_val *e)
{
    struct prune_value v;
    bool null;

    if (!read_value(yyjson_obj_get(e, "value"), &null, &v))
        return prune_unknown(&r->scope);
    return null ? prune_null(&r->scope) : prune_constant(&r->scope, &v);
}

/* ---- expressions ---- */

static struct prune *read_expr(const struct relation *r, yyjson_val *e, unsigned depth);

static struct prune *read_cast(const struct relation *r, yyjson_val *e, unsigned depth)
{
    uint8_t scale;
    enum domain to = domain_of(yyjson_obj_get(e, "return_type"), &scale);
    struct prune *child = read_expr(r, yyjson_obj_get(e, "child"), depth);

    switch (to) {
    case D_NUMBER:
        return prune_cast(&r->scope, child, PRUNE_TO_NUMBER, scale);
    case D_FLOAT:
    case D_DOUBLE:
        return prune_cast(&r->scope, child, PRUNE_TO_REAL, 0);
    case D_DATE:
        return prune_cast(&r->scope, child, PRUNE_TO_DATE, 0);
    case D_TIMESTAMP:
        return prune_cast(&r->scope, child, PRUNE_TO_TIMESTAMP, 0);
    default:
        return prune_unknown(&r->scope);
    }
}

static bool compare_of(yyjson_val *e, const char *key, enum prune_compare *ret)
{
    static const char *const names[] = {
        [PRUNE_EQ] = "COMPARE_EQUAL",
        [PRUNE_NE] = "COMPARE_NOTEQUAL",
        [PRUNE_LT] = "COMPARE_LESSTHAN",
        [PRUNE_LE] = "COMPARE_LESSTHANOREQUALTO",
        [PRUNE_GT] = "COMPARE_GREATERTHAN",
        [PRUNE_GE] = "COMPARE_GREATERTHANOREQUALTO",
        [PRUNE_NOT_DISTINCT] = "COMPARE_NOT_DISTINCT_FROM",
        [PRUNE_DISTINCT] = "COMPARE_DISTINCT_FROM",
    };

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (is(e, key, names[i])) {
            *ret = (enum prune_compare)i;
            return true;
        }
    return false;
}

static struct prune *read_between(const struct relation *r, yyjson_val *e, unsigned depth)
{
    struct prune *input = read_expr(r, yyjson_obj_get(e, "input"), depth);
    yyjson_val *low = yyjson_obj_get(e, "lower_inclusive"), *high = yyjson_obj_get(e, "upper_inclusive");
    struct prune *both[2];

    if (!yyjson_is_bool(low) || !yyjson_is_bool(high))
        return prune_unknown(&r->scope);
    both[0] = prune_compare(&r->scope, yyjson_get_bool(low) ? PRUNE_GE : PRUNE_GT, input,
                            read_expr(r, yyjson_obj_get(e, "lower"), depth));
    both[1] = prune_compare(&r->scope, yyjson_get_bool(high) ? PRUNE_LE : PRUNE_LT, input,
                            read_expr(r, yyjson_obj_get(e, "upper"), depth));
    return prune_and(&r->scope, both, 2);
}

static struct prune **read_all(const struct relation *r, yyjson_val *list, unsigned depth, uint32_t *ret_n)
{
    struct prune **v = ARENA_NEW_N(r->scope.arena, struct prune *, yyjson_arr_size(list) + 1);
    yyjson_val *e;
    size_t i, n;

    yyjson_arr_foreach(list, i, n, e) v[i] = read_expr(r, e, depth);
    *ret_n = (uint32_t)yyjson_arr_size(list);
    return v;
}

static struct prune *read_operator(const struct relation *r, yyjson_val *e, unsigned depth)
{
    uint32_t n;
    struct prune **v = read_all(r, yyjson_obj_get(e, "children"), depth, &n);
    bool in = is(e, "type", "COMPARE_IN"), not_in = is(e, "type", "COMPARE_NOT_IN");

    if (is(e, "type", "OPERATOR_NOT") && n == 1)
        return prune_not(&r->scope, v[0]);
    if (is(e, "type", "OPERATOR_IS_NULL") && n == 1)
        return prune_is_null(&r->scope, v[0]);
    if (is(e, "type", "OPERATOR_IS_NOT_NULL") && n == 1)
        return prune_not(&r->scope, prune_is_null(&r->scope, v[0]));
    if (!(in || not_in) || n < 2)
        return prune_unknown(&r->scope);
    for (uint32_t i = 1; i < n; i++)
        v[i] = prune_compare(&r->scope, PRUNE_EQ, v[0], v[i]);
    struct prune *any = prune_or(&r->scope, v + 1, n - 1);
    return in ? any : prune_not(&r->scope, any);
}

/* s.x, starts_with(a, 'text'), a LIKE 'text%…' */
static struct prune *read_function(const struct relation *r, yyjson_val *e, unsigned depth)
{
    yyjson_val *children = yyjson_obj_get(e, "children"), *second = yyjson_arr_get(children, 1);
    bool field = is(e, "name", "struct_extract") || is(e, "name", "array_extract");
    bool prefix = is(e, "name", "prefix") || is(e, "name", "starts_with") || is(e, "name", "^@");
    bool like = is(e, "name", "~~");
    struct prune_value v;
    bool null;

    if (!(field || prefix || like) || yyjson_arr_size(children) != 2 ||
        !is(second, "expression_class", "BOUND_CONSTANT"))
        return prune_unknown(&r->scope);
    if (!read_value(yyjson_obj_get(second, "value"), &null, &v) || null || v.kind != PRUNE_TEXT)
        return prune_unknown(&r->scope);
    struct prune *of = read_expr(r, yyjson_arr_get_first(children), depth);
    if (field)
        return prune_field(&r->scope, of, v.text);
    for (size_t i = 0; like && i < v.text.n; i++)
        if (v.text.p[i] == '%' || v.text.p[i] == '_' || v.text.p[i] == '\\')
            v.text.n = i;
    return prune_prefix(&r->scope, of, v.text);
}

static struct prune *read_expr(const struct relation *r, yyjson_val *e, unsigned depth)
{
    uint32_t n;
    enum prune_compare op;

    if (++depth > MAX_DEPTH)
        return prune_unknown(&r->scope);
    if (is(e, "expression_class", "BOUND_REF")) {
        uint64_t i = number(e, "index");
        return i < r->n ? r->columns[i] : prune_unknown(&r->scope);
    }
    if (is(e, "expression_class", "BOUND_CONSTANT"))
        return read_constant(r, e);
    if (is(e, "expression_class", "BOUND_CAST"))
        return read_cast(r, e, depth);
    if (is(e, "expression_class", "BOUND_COMPARISON") && compare_of(e, "type", &op))
        return prune_compare(&r->scope, op, read_expr(r, yyjson_obj_get(e, "left"), depth),
                             read_expr(r, yyjson_obj_get(e, "right"), depth));
    if (is(e, "expression_class", "BOUND_BETWEEN"))
        return read_between(r, e, depth);
    if (is(e, "expression_class", "BOUND_OPERATOR"))
        return read_operator(r, e, depth);
    if (is(e, "expression_class", "BOUND_FUNCTION"))
        return read_function(r, e, depth);
    if (!is(e, "expression_class", "BOUND_CONJUNCTION"))
        return prune_unknown(&r->scope);
    struct prune **v = read_all(r, yyjson_obj_get(e, "children"), depth, &n);
    if (is(e, "type", "CONJUNCTION_AND"))
        return prune_and(&r->scope, v, n);
    return is(e, "type", "CONJUNCTION_OR") ? prune_or(&r->scope, v, n) : prune_unknown(&r->scope);
}

/* ---- relations ---- */

static struct delta_stub *stub_of(const struct plan *p, yyjson_val *get)
{
    yyjson_val *parameter = yyjson_arr_get_first(yyjson_obj_get(get, "parameters"));
    uint64_t id = number(parameter, "value");

    if (!is(get, "type", "LOGICAL_GET") || !is(get, "name", "stub"))
        return NULL;
    for (uint32_t i = 0; i < p->n; i++)
        if ((uint64_t)p->stubs[i]->id == id)
            return p->stubs[i];
    return NULL;
}

static struct prune *table_column(const struct relation *r, yyjson_val *column)
{
    uint64_t i = number(column, "index");
    const struct schema *schema = r->stub->head->schema;

    if (i >= schema->n_fields || !is(column, "index_type", "FULL_READ"))
        return prune_unknown(&r->scope);
    return prune_column(&r->scope, &schema->fields[i].name, 1);
}

/* The columns of a relation through a list of indexes; none: as they are. False: it makes no sense. */
static bool project(struct relation *r, yyjson_val *map)
{
    size_t i, n = yyjson_arr_size(map);
    struct prune **columns = ARENA_NEW_N(r->scope.arena, struct prune *, n + 1);
    yyjson_val *v;

    if (!n)
        return true;
    yyjson_arr_foreach(map, i, n, v)
    {
        if (!yyjson_is_uint(v) || yyjson_get_uint(v) >= r->n)
            return false;
        columns[i] = r->columns[yyjson_get_uint(v)];
    }
    r->columns = columns;
    r->n = (uint32_t)n;
    return true;
}

static bool read_get(struct delta_stub *stub, yyjson_val *get, struct relation *r)
{
    yyjson_val *columns = yyjson_obj_get(get, "column_indexes"), *column;
    size_t i, n;

    *r = (struct relation){.stub = stub, .scope = {&stub->arena, stub->head}};
    r->n = (uint32_t)yyjson_arr_size(columns);
    r->columns = ARENA_NEW_N(&stub->arena, struct prune *, r->n + 1);
    yyjson_arr_foreach(columns, i, n, column)
    {
        uint64_t k = number(column, "index");
        r->columns[i] = table_column(r, column);
        r->variants |= k < stub->head->schema->n_fields && parquet_has_variant(&stub->head->schema->fields[k].type);
    }
    return project(r, yyjson_obj_get(get, "projection_ids"));
}

static bool read_relation(const struct plan *p, yyjson_val *node, struct relation *r, unsigned depth);

static void read_projection(yyjson_val *node, struct relation *r)
{
    r->columns = read_all(r, yyjson_obj_get(node, "expressions"), 0, &r->n);
}

static bool read_filter(yyjson_val *node, struct relation *r)
{
    uint32_t n;
    struct prune **v = read_all(r, yyjson_obj_get(node, "expressions"), 0, &n);
    struct prune *all = prune_and(&r->scope, v, n);

    r->filter = r->filter ? prune_and(&r->scope, (struct prune *[]){r->filter, all}, 2) : all;
    return project(r, yyjson_obj_get(node, "projection_map"));
}

/* x IN (constants): the values, of one chunk or several. */
static struct prune *read_list(const struct relation *r, yyjson_val *condition, yyjson_val *chunks)
{
    yyjson_val *lists = yyjson_obj_get(yyjson_obj_get(chunks, "collection"), "values"), *e;
    yyjson_val *list = yyjson_arr_get_first(lists);
    struct prune_value *values = ARENA_NEW_N(r->scope.arena, struct prune_value, yyjson_arr_size(list) + 1);
    size_t i, n, used = 0;

    if (yyjson_arr_size(lists) != 1 || !is(condition, "comparison", "COMPARE_EQUAL") ||
        !is(yyjson_obj_get(condition, "right"), "expression_class", "BOUND_REF"))
        return prune_unknown(&r->scope);
    yyjson_arr_foreach(list, i, n, e)
    {
        bool null;
        if (!read_value(e, &null, &values[used]))
            return prune_unknown(&r->scope);
        if (values[used].kind == PRUNE_TEXT)
            values[used].text = arena_str(r->scope.arena, values[used].text);
        used += !null;
    }
    return prune_in(&r->scope, read_expr(r, yyjson_obj_get(condition, "left"), 0), values, used);
}

static bool read_mark(const struct plan *p, yyjson_val *node, struct relation *r, unsigned depth)
{
    yyjson_val *children = yyjson_obj_get(node, "children"), *chunks = yyjson_arr_get(children, 1);
    yyjson_val *conditions = yyjson_obj_get(node, "conditions");

    if (!is(node, "join_type", "MARK") || !is(chunks, "type", "LOGICAL_CHUNK_GET") ||
        yyjson_arr_size(conditions) != 1 || yyjson_obj_get(node, "predicate") ||
        !read_relation(p, yyjson_arr_get_first(children), r, depth))
        return false;
    struct prune *mark = read_list(r, yyjson_arr_get_first(conditions), chunks);
    if (!project(r, yyjson_obj_get(node, "left_projection_map")))
        return false;
    struct prune **columns = ARENA_NEW_N(r->scope.arena, struct prune *, r->n + 2);
    memcpy(columns, r->columns, r->n * sizeof *columns);
    columns[r->n++] = mark;
    r->columns = columns;
    return true;
}

/* A GET of a stub under FILTERs, PROJECTIONs and MARK joins with constants: all that change no row but leave rows out. */
static bool read_relation(const struct plan *p, yyjson_val *node, struct relation *r, unsigned depth)
{
    struct delta_stub *stub = stub_of(p, node);
    bool filter = is(node, "type", "LOGICAL_FILTER"), projection = is(node, "type", "LOGICAL_PROJECTION");

    if (++depth > MAX_DEPTH)
        return false;
    if (stub)
        return read_get(stub, node, r);
    if (filter || projection) {
        if (!read_relation(p, yyjson_arr_get_first(yyjson_obj_get(node, "children")), r, depth))
            return false;
        if (filter)
            return read_filter(node, r);
        read_projection(node, r);
        return true;
    }
    return is(node, "type", "LOGICAL_COMPARISON_JOIN") && read_mark(p, node, r, depth);
}

/* ---- plans ---- */

/* Is there a reference to a column in it? */
static bool refers(yyjson_val *v, unsigned depth)
{
    yyjson_val *key, *e;
    size_t i, n;

    if (++depth > MAX_DEPTH || is(v, "expression_class", "BOUND_REF"))
        return true;
    yyjson_arr_foreach(v, i, n, e) if (refers(e, depth)) return true;
    yyjson_obj_foreach(v, i, n, key, e) if (refers(e, depth)) return true;
    return false;
}

/* Of its columns, does a node look at any, when those above it do (`above`) or not? */
static bool looks_at_columns(yyjson_val *node, bool above)
{
    if (is(node, "type", "LOGICAL_AGGREGATE_AND_GROUP_BY"))
        return refers(yyjson_obj_get(node, "expressions"), 0) || refers(yyjson_obj_get(node, "groups"), 0);
    if (is(node, "type", "LOGICAL_PROJECTION"))
        return above && refers(yyjson_obj_get(node, "expressions"), 0);
    if (is(node, "type", "LOGICAL_FILTER"))
        return above || refers(yyjson_obj_get(node, "expressions"), 0);
    return true;
}

static void note(struct plan *p, const struct relation *r, bool looked_at)
{
    struct prune *filter = r->filter ? r->filter : prune_and(&r->scope, NULL, 0);

    for (uint32_t i = 0; i < p->n; i++) {
        struct found *f = &p->found[i];
        if (p->stubs[i] != r->stub)
            continue;
        f->any = f->any ? prune_or(&r->scope, (struct prune *[]){f->any, filter}, 2) : filter;
        f->looked_at |= looked_at;
        f->variants |= r->variants;
    }
}

static void walk(struct plan *p, yyjson_val *node, bool above, unsigned depth)
{
    struct relation r;
    yyjson_val *child;
    size_t i, n;

    if (++depth > MAX_DEPTH) {
        p->failed = true;
        return;
    }
    if (read_relation(p, node, &r, depth)) {
        bool looked_at = above;
        for (; !stub_of(p, node); node = yyjson_arr_get_first(yyjson_obj_get(node, "children")))
            looked_at = looks_at_columns(node, looked_at);
        note(p, &r, looked_at);
        return;
    }
    if (stub_of(p, node))
        p->failed = true;
    bool looks = looks_at_columns(node, above);
    yyjson_arr_foreach(yyjson_obj_get(node, "children"), i, n, child) walk(p, child, looks, depth);
}

static void tell(struct plan *p)
{
    for (uint32_t i = 0; i < p->n && !p->failed; i++) {
        struct delta_stub *stub = p->stubs[i];
        const struct found *f = &p->found[i];
        stub->planned = true;
        stub->counted = f->any && !f->looked_at;
        stub->variants = f->variants;
        stub->any = f->any ? f->any : prune_or(&(struct prune_scope){&stub->arena, stub->head}, NULL, 0);
    }
}

void delta_plan_read(struct str json, struct delta_stub *const *stubs, uint32_t n)
{
    CLEANUP(mem_freep) struct found *found = MEM_NEW_N(struct found, n + 1);
    struct plan p = {.stubs = stubs, .n = n, .found = found};
    yyjson_doc *doc = yyjson_read(json.p, json.n, YYJSON_READ_ALLOW_INF_AND_NAN);
    yyjson_val *root = yyjson_doc_get_root(doc), *plans = yyjson_obj_get(root, "plans"), *plan;
    size_t i, max;

    if (yyjson_is_false(yyjson_obj_get(root, "error")) && yyjson_arr_size(plans)) {
        yyjson_arr_foreach(plans, i, max, plan) walk(&p, plan, true, 0);
        tell(&p);
    }
    yyjson_doc_free(doc);
}

/* ---- joins ---- */

struct keys {
    struct plan plan; /* of one stub */
    const char *table;
    struct delta_plan_key *v;
    uint32_t n, max;
};

static uint64_t mapped(yyjson_val *map, uint64_t i)
{
    yyjson_val *v = yyjson_arr_size(map) ? yyjson_arr_get(map, i) : NULL;

    return !yyjson_arr_size(map) ? i : yyjson_is_uint(v) ? yyjson_get_uint(v) : UINT64_MAX;
}

/* The column of DuckDB's table that a reference to a node's columns, or a cast of one, comes from; p NULL: none. */
static struct str source_column(yyjson_val *node, yyjson_val *e, const char *table)
{
    bool cast = false;

    for (unsigned depth = 0; depth < MAX_DEPTH; depth++) {
        uint64_t i = number(e, "index");
        if (is(e, "expression_class", "BOUND_CAST") && !cast) {
            e = yyjson_obj_get(e, "child");
            cast = true;
            continue;
        }
        if (!is(e, "expression_class", "BOUND_REF"))
            break;
        if (is(node, "type", "LOGICAL_GET")) {
            uint64_t k = mapped(yyjson_obj_get(node, "projection_ids"), i);
            yyjson_val *column = yyjson_arr_get(yyjson_obj_get(node, "column_indexes"), k);
            yyjson_val *name = yyjson_arr_get(yyjson_obj_get(node, "names"), number(column, "index"));
            bool ours = is(node, "name", "seq_scan") && is(yyjson_obj_get(node, "function_data"), "table", table);
            if (!ours || !yyjson_is_str(name) || !is(column, "index_type", "FULL_READ"))
                break;
            return str_make(yyjson_get_str(name), yyjson_get_len(name));
        }
        yyjson_val *child = yyjson_arr_get_first(yyjson_obj_get(node, "children"));
        if (is(node, "type", "LOGICAL_PROJECTION"))
            e = yyjson_arr_get(yyjson_obj_get(node, "expressions"), i);
        else if (is(node, "type", "LOGICAL_FILTER") && !yyjson_arr_size(yyjson_obj_get(node, "projection_map")))
            ;
        else
            break;
        node = child;
    }
    return (struct str){0};
}

/* The SQL name of an expression's type. */
static bool key_type(yyjson_val *e, struct delta_plan_key *key)
{
    static const enum type_id ids[] = {
        [D_OTHER] = TYPE_OTHER,         [D_BOOLEAN] = TYPE_BOOLEAN, [D_NUMBER] = TYPE_LONG,   [D_DATE] = TYPE_DATE,
        [D_TIMESTAMP] = TYPE_TIMESTAMP, [D_FLOAT] = TYPE_FLOAT,     [D_DOUBLE] = TYPE_DOUBLE, [D_TEXT] = TYPE_STRING};
    yyjson_val *type = yyjson_obj_get(e, "return_type");
    const char *id = yyjson_get_str(yyjson_obj_get(type, "id"));
    uint8_t scale;
    enum domain domain = domain_of(type, &scale);

    if (domain == D_OTHER)
        return false;
    key->as = (struct type){.id = ids[domain]};
    if (strcmp(id, "DECIMAL") == 0)
        snprintf(key->type, sizeof key->type, "DECIMAL(%u,%u)",
                 (unsigned)number(yyjson_obj_get(type, "type_info"), "width"), scale);
    else
        snprintf(key->type, sizeof key->type, "%s", id);
    return true;
}

static void add_key(struct keys *k, const struct relation *r, yyjson_val *source, yyjson_val *condition, bool left)
{
    yyjson_val *ours = yyjson_obj_get(condition, left ? "left" : "right");
    yyjson_val *theirs = yyjson_obj_get(condition, left ? "right" : "left");
    bool nulls = is(condition, "comparison", "COMPARE_NOT_DISTINCT_FROM");
    struct str column = source_column(source, theirs, k->table);

    if (!column.p || k->n >= k->max || !(nulls || is(condition, "comparison", "COMPARE_EQUAL")))
        return;
    struct delta_plan_key *key = &k->v[k->n];
    if (!key_type(theirs, key))
        return;
    key->column = arena_str(r->scope.arena, column);
    key->value = read_expr(r, ours, 0);
    key->nulls = nulls;
    k->n++;
}

/* A row that an inner join drops is not needed, wherever in the plan the join stands. */
static void find_keys(struct keys *k, yyjson_val *node, unsigned depth)
{
    yyjson_val *children = yyjson_obj_get(node, "children"), *condition, *child;
    bool inner = is(node, "type", "LOGICAL_COMPARISON_JOIN") && is(node, "join_type", "INNER");
    struct relation r;
    size_t i, n;

    if (++depth > MAX_DEPTH)
        return;
    for (size_t side = 0; inner && side < 2; side++) {
        if (!read_relation(&k->plan, yyjson_arr_get(children, side), &r, 0))
            continue;
        yyjson_arr_foreach(yyjson_obj_get(node, "conditions"), i, n, condition)
            add_key(k, &r, yyjson_arr_get(children, 1 - side), condition, side == 0);
    }
    yyjson_arr_foreach(children, i, n, child) find_keys(k, child, depth);
}

uint32_t delta_plan_keys(struct str json, struct delta_stub *stub, const char *table, struct delta_plan_key *ret,
                         uint32_t max)
{
    struct keys k = {.plan = {.stubs = &stub, .n = 1}, .table = table, .v = ret, .max = max};
    yyjson_doc *doc = yyjson_read(json.p, json.n, YYJSON_READ_ALLOW_INF_AND_NAN);
    yyjson_val *root = yyjson_doc_get_root(doc);

    if (yyjson_is_false(yyjson_obj_get(root, "error")))
        find_keys(&k, yyjson_arr_get_first(yyjson_obj_get(root, "plans")), 0);
    yyjson_doc_free(doc);
    return k.n;
}

/* ---- stubs ---- */

struct delta_stub *delta_stub_new(struct engine *engine, struct delta_snapshot *snapshot, const struct delta_head *head,
                                  const struct stub_column *more, uint32_t n_more)
{
    struct delta_stub *stub = MEM_NEW(struct delta_stub);

    stub->engine = engine;
    stub->snapshot = delta_snapshot_ref(snapshot);
    stub->head = delta_head_ref(head ? head : snapshot->head);
    stub->registered = (struct stub){
        .schema = stub->head->schema, .rows = (uint64_t)MAX(snapshot->records, 1), .n_more = n_more, .more = more};
    stub->id = stub_register(engine, &stub->registered);
    snprintf(stub->sql, sizeof stub->sql, "SELECT * FROM stub(%lld)", (long long)stub->id);
    return stub;
}

void delta_stub_free(struct delta_stub *stub)
{
    if (!stub)
        return;
    stub_unregister(stub->engine, stub->id);
    delta_snapshot_unref(stub->snapshot);
    delta_head_unref((struct delta_head *)stub->head);
    arena_deinit(&stub->arena);
    mem_free(stub);
}

const char *delta_stub_sql(const struct delta_stub *stub)
{
    return stub->sql;
}

const struct delta_file **delta_stub_files(const struct delta_stub *stub, const struct delta_snapshot *snapshot,
                                           struct arena *arena, uint32_t *ret_n)
{
    if (!stub->planned || snapshot->head != stub->snapshot->head)
        return NULL;
    return prune_files(stub->any, snapshot, arena, ret_n);
}

static bool is_clock(struct str word)
{
    static const char *const words[] = {"now", "today", "ago", "age", "localtime", "localtimestamp", "txid_current"};

    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (str_eq_nocase(word, str_of(words[i])))
            return true;
    return str_eq_nocase(str_make(word.p, MIN(word.n, 8)), STR("current_")) ||
           str_eq_nocase(str_make(word.p, MIN(word.n, 12)), STR("get_current_")) ||
           str_eq_nocase(str_make(word.p, MIN(word.n, 12)), STR("transaction_"));
}

bool delta_asks_clock(struct str sql)
{
    size_t end;

    for (size_t at = 0; at < sql.n; at = end + 1) {
        for (end = at; end < sql.n && (isalnum((unsigned char)sql.p[end]) || sql.p[end] == '_');)
            end++;
        if (is_clock(str_make(sql.p + at, end - at)))
            return true;
    }
    return false;
}
