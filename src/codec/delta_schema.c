/*
 * Delta schemas: the schemaString JSON ⇄ struct schema.
 *
 *   type   := "long" | "decimal(10,2)" | … | {"type":"struct","fields":[field…]}
 *           | {"type":"array","elementType":type,"containsNull":b}
 *           | {"type":"map","keyType":type,"valueType":type,"valueContainsNull":b}
 *   field  := {"name":s,"type":type,"nullable":b,"metadata":{s:any…}}
 *
 * Column mapping lives in field metadata; `id` and `physical` of a field are kept in step with it here.
 */
#include "codec/delta_schema.h"

#include "base/mem.h"

#include <assert.h>
#include <yyjson.h>

enum { MAX_DEPTH = 64, MAX_FIELDS = 100000 };

static const struct {
    const char *name;
    enum type_id id;
} primitives[] = {
    {"string", TYPE_STRING},   {"long", TYPE_LONG},           {"integer", TYPE_INTEGER},
    {"short", TYPE_SHORT},     {"byte", TYPE_BYTE},           {"float", TYPE_FLOAT},
    {"double", TYPE_DOUBLE},   {"boolean", TYPE_BOOLEAN},     {"binary", TYPE_BINARY},
    {"date", TYPE_DATE},       {"timestamp", TYPE_TIMESTAMP}, {"timestamp_ntz", TYPE_TIMESTAMP_NTZ},
    {"variant", TYPE_VARIANT}, {"void", TYPE_VOID},           {"null", TYPE_VOID},
};

struct parse {
    struct arena *arena;
    struct err *err;
    uint32_t n_fields;
};

static int parse_type(struct parse *p, yyjson_val *v, unsigned depth, struct type *ret);

static struct str raw_json(struct arena *arena, yyjson_val *v)
{
    size_t n = 0;
    char *s = yyjson_val_write(v, YYJSON_WRITE_ALLOW_INF_AND_NAN, &n);
    struct str copy = arena_str(arena, str_make(s, n));

    free(s);
    return copy;
}

static struct str text(struct arena *arena, yyjson_val *v)
{
    return arena_str(arena, str_make(yyjson_get_str(v), yyjson_get_len(v)));
}

static int parse_decimal(struct parse *p, struct str s, struct type *ret)
{
    int64_t precision = 10, scale = 0;
    struct str args = str_make(s.p + 7, s.n - 7);

    if (args.n) {
        bool ok = args.n > 2 && args.p[0] == '(' && args.p[args.n - 1] == ')';
        args = ok ? str_make(args.p + 1, args.n - 2) : STR("");
        struct str first = str_split(&args, ',');
        ok = str_to_i64(str_trim(first), &precision) && (!args.p || str_to_i64(str_trim(args), &scale));
        if (!ok || precision < 1 || precision > 38 || scale < 0 || scale > precision)
            return err_set(p->err, ERR_INPUT, "impossible type \"%.*s\"", STR_ARG(s));
    }
    *ret = (struct type){.id = TYPE_DECIMAL, .precision = (uint8_t)precision, .scale = (uint8_t)scale};
    return 0;
}

static int parse_primitive(struct parse *p, yyjson_val *v, struct type *ret)
{
    struct str s = str_make(yyjson_get_str(v), yyjson_get_len(v));

    for (size_t i = 0; i < ARRAY_LEN(primitives); i++)
        if (str_is(s, primitives[i].name)) {
            *ret = (struct type){.id = primitives[i].id};
            return 0;
        }
    if (str_is(s, "decimal") || str_has_prefix(s, STR("decimal(")))
        return parse_decimal(p, s, ret);
    *ret = (struct type){.id = TYPE_OTHER, .other = raw_json(p->arena, v)};
    return 0;
}

static bool bool_or(yyjson_val *obj, const char *key, bool absent)
{
    yyjson_val *v = yyjson_obj_get(obj, key);

    return yyjson_is_bool(v) ? yyjson_get_bool(v) : absent;
}

static struct str json_unquote(struct arena *arena, struct str json)
{
    yyjson_doc *doc = yyjson_read(json.p, json.n, 0);
    yyjson_val *v = yyjson_doc_get_root(doc);
    struct str s = yyjson_is_str(v) ? text(arena, v) : (struct str){0};

    yyjson_doc_free(doc);
    return s;
}

static void set_mapping(struct parse *p, struct field *f)
{
    struct str id = field_meta_get(f, STR("delta.columnMapping.id"));
    struct str physical = field_meta_get(f, STR("delta.columnMapping.physicalName"));
    int64_t n;

    if (str_to_i64(id, &n) && n > 0 && n <= INT32_MAX)
        f->id = (int32_t)n;
    f->physical = physical.n ? json_unquote(p->arena, physical) : (struct str){0};
    if (!f->physical.n)
        f->physical = f->name;
}

static int parse_field(struct parse *p, yyjson_val *v, unsigned depth, struct field *ret)
{
    yyjson_val *name = yyjson_obj_get(v, "name"), *meta = yyjson_obj_get(v, "metadata"), *k, *m;
    yyjson_val *type = yyjson_obj_get(v, "type");
    size_t i, max;

    if (!yyjson_is_str(name) || !type)
        return err_set(p->err, ERR_INPUT, "a field without a name or a type");
    if (++p->n_fields > MAX_FIELDS)
        return err_set(p->err, ERR_LIMIT, "more than %d columns", MAX_FIELDS);
    ret->name = text(p->arena, name);
    ret->nullable = bool_or(v, "nullable", true);
    if (yyjson_is_obj(meta)) {
        ret->meta = ARENA_NEW_N(p->arena, struct field_meta, yyjson_obj_size(meta));
        yyjson_obj_foreach(meta, i, max, k, m) ret->meta[ret->n_meta++] =
            (struct field_meta){text(p->arena, k), raw_json(p->arena, m)};
    }
    set_mapping(p, ret);
    if (parse_type(p, type, depth, &ret->type) < 0)
        return err_wrap(p->err, "column \"%.*s\"", STR_ARG(ret->name));
    return 0;
}

static int parse_fields(struct parse *p, yyjson_val *obj, unsigned depth, struct field **ret, uint32_t *ret_n)
{
    yyjson_val *arr = yyjson_obj_get(obj, "fields"), *v;
    size_t i, max;

    if (!yyjson_is_arr(arr))
        return err_set(p->err, ERR_INPUT, "a struct without fields");
    struct field *f = ARENA_NEW_N(p->arena, struct field, yyjson_arr_size(arr));
    yyjson_arr_foreach(arr, i, max, v) TRY(parse_field(p, v, depth, &f[i]));
    *ret = f;
    *ret_n = (uint32_t)yyjson_arr_size(arr);
    return 0;
}

static int parse_child(struct parse *p, yyjson_val *obj, const char *key, const char *name, bool nullable,
                       unsigned depth, struct field *ret)
{
    yyjson_val *v = yyjson_obj_get(obj, key);

    if (!v)
        return err_set(p->err, ERR_INPUT, "a nested type without %s", key);
    *ret = (struct field){.name = str_of(name), .nullable = nullable, .physical = str_of(name)};
    return parse_type(p, v, depth, &ret->type);
}

static int parse_type(struct parse *p, yyjson_val *v, unsigned depth, struct type *ret)
{
    if (yyjson_is_str(v))
        return parse_primitive(p, v, ret);
    if (depth >= MAX_DEPTH)
        return err_set(p->err, ERR_LIMIT, "types are nested more than %d deep", MAX_DEPTH);
    yyjson_val *word = yyjson_obj_get(v, "type");
    struct type t = {0};
    if (yyjson_equals_str(word, "struct")) {
        t.id = TYPE_STRUCT;
        TRY(parse_fields(p, v, depth + 1, &t.children, &t.n_children));
    } else if (yyjson_equals_str(word, "array")) {
        t = (struct type){.id = TYPE_ARRAY, .n_children = 1, .children = ARENA_NEW_N(p->arena, struct field, 1)};
        TRY(parse_child(p, v, "elementType", "element", bool_or(v, "containsNull", true), depth + 1, t.children));
    } else if (yyjson_equals_str(word, "map")) {
        t = (struct type){.id = TYPE_MAP, .n_children = 2, .children = ARENA_NEW_N(p->arena, struct field, 2)};
        TRY(parse_child(p, v, "keyType", "key", false, depth + 1, &t.children[0]));
        TRY(parse_child(p, v, "valueType", "value", bool_or(v, "valueContainsNull", true), depth + 1, &t.children[1]));
    } else {
        t = (struct type){.id = TYPE_OTHER, .other = raw_json(p->arena, v)};
    }
    *ret = t;
    return 0;
}

int delta_schema_parse(struct str json, struct schema **ret, struct err *err)
{
    CLEANUP(schema_unrefp) struct schema *s = schema_new();
    struct parse p = {.arena = &s->arena, .err = err};
    yyjson_read_err bad = {0};
    yyjson_doc *doc = yyjson_read_opts((char *)(uintptr_t)json.p, json.n, 0, NULL, &bad);
    yyjson_val *root = yyjson_doc_get_root(doc);
    int rc;

    if (!doc)
        return err_set(err, ERR_INPUT, "schema: broken JSON at byte %zu: %s", bad.pos, bad.msg);
    if (!yyjson_equals_str(yyjson_obj_get(root, "type"), "struct"))
        rc = err_set(err, ERR_INPUT, "schema: not a struct");
    else if ((rc = parse_fields(&p, root, 0, &s->fields, &s->n_fields)) < 0)
        rc = err_wrap(err, "schema");
    yyjson_doc_free(doc);
    if (rc)
        return rc;
    *ret = TAKE_PTR(s);
    return 0;
}

static void write_type(const struct type *t, struct buf *out);

static void write_fields(const struct field *f, uint32_t n, struct buf *out)
{
    buf_add_cstr(out, "{\"type\":\"struct\",\"fields\":[");
    for (uint32_t i = 0; i < n; i++) {
        buf_add_cstr(out, i ? ",{\"name\":" : "{\"name\":");
        buf_add_json_str(out, f[i].name);
        buf_add_cstr(out, ",\"type\":");
        write_type(&f[i].type, out);
        buf_printf(out, ",\"nullable\":%s,\"metadata\":{", f[i].nullable ? "true" : "false");
        for (uint32_t m = 0; m < f[i].n_meta; m++) {
            if (m)
                buf_add_char(out, ',');
            buf_add_json_str(out, f[i].meta[m].key);
            buf_add_char(out, ':');
            buf_add_str(out, f[i].meta[m].json);
        }
        buf_add_cstr(out, "}}");
    }
    buf_add_cstr(out, "]}");
}

void delta_schema_write(const struct schema *s, struct buf *out)
{
    write_fields(s->fields, s->n_fields, out);
}

/* One type as in a schemaString: "long", "decimal(10,2)", {"type":"array",…}. The array's elements may be null. */
static void write_type(const struct type *t, struct buf *out)
{
    switch (t->id) {
    case TYPE_STRUCT:
        write_fields(t->children, t->n_children, out);
        return;
    case TYPE_ARRAY:
        buf_add_cstr(out, "{\"type\":\"array\",\"elementType\":");
        write_type(&t->children[0].type, out);
        buf_printf(out, ",\"containsNull\":%s}", t->children[0].nullable ? "true" : "false");
        return;
    case TYPE_MAP:
        buf_add_cstr(out, "{\"type\":\"map\",\"keyType\":");
        write_type(&t->children[0].type, out);
        buf_add_cstr(out, ",\"valueType\":");
        write_type(&t->children[1].type, out);
        buf_printf(out, ",\"valueContainsNull\":%s}", t->children[1].nullable ? "true" : "false");
        return;
    case TYPE_DECIMAL:
        buf_printf(out, "\"decimal(%d,%d)\"", t->precision, t->scale);
        return;
    case TYPE_OTHER:
        buf_add_str(out, t->other);
        return;
    default:
        break;
    }
    for (size_t i = 0; i < ARRAY_LEN(primitives); i++)
        if (primitives[i].id == t->id) {
            buf_printf(out, "\"%s\"", primitives[i].name);
            return;
        }
    assert(!"a type without a name");
}

int delta_mapping_mode(const struct delta_kv *configuration, uint32_t n, enum delta_mapping *ret, struct err *err)
{
    struct str mode = delta_kv_get(configuration, n, STR("delta.columnMapping.mode"));

    if (!mode.n || str_eq_nocase(mode, STR("none")))
        *ret = DELTA_MAPPING_NONE;
    else if (str_eq_nocase(mode, STR("name")))
        *ret = DELTA_MAPPING_NAME;
    else if (str_eq_nocase(mode, STR("id")))
        *ret = DELTA_MAPPING_ID;
    else
        return err_set(err, ERR_INPUT, "delta.columnMapping.mode \"%.*s\" is none of none, name, id", STR_ARG(mode));
    return 0;
}

bool delta_schema_is_odd_name(struct str name)
{
    for (size_t i = 0; i < name.n; i++)
        if (strchr(" ,;{}()\n\t=", name.p[i]))
            return true;
    return false;
}

static void unmap(struct field *f, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        f[i].physical = f[i].name;
        f[i].id = 0;
        unmap(f[i].type.children, f[i].type.n_children);
    }
}

void delta_schema_unmap(struct schema *s)
{
    unmap(s->fields, s->n_fields);
}

struct mapper {
    struct arena *arena;
    int32_t *max_id;
    bool new_names;
    uint64_t seed;
};

static void map_fields(struct mapper *m, struct field *f, uint32_t n, bool named)
{
    for (uint32_t i = 0; i < n; i++) {
        if (named && !f[i].id) {
            f[i].id = ++*m->max_id;
            char *id = arena_printf(m->arena, "%d", f[i].id);
            field_meta_set(&f[i], m->arena, STR("delta.columnMapping.id"), str_of(id));
        }
        if (named && !field_meta_get(&f[i], STR("delta.columnMapping.physicalName")).n) {
            CLEANUP(buf_deinit) struct buf json = {0};
            if (m->new_names)
                f[i].physical = str_of(arena_printf(m->arena, "col-%d-%016llx", f[i].id, (unsigned long long)m->seed));
            buf_add_json_str(&json, f[i].physical);
            field_meta_set(&f[i], m->arena, STR("delta.columnMapping.physicalName"), buf_str(&json));
        }
        map_fields(m, f[i].type.children, f[i].type.n_children, f[i].type.id == TYPE_STRUCT);
    }
}

void delta_schema_map(struct schema *s, int32_t *max_id, bool new_names, uint64_t seed)
{
    struct mapper m = {&s->arena, max_id, new_names, seed};

    map_fields(&m, s->fields, s->n_fields, true);
}

static const struct field *find_type(const struct field *f, uint32_t n, enum type_id id)
{
    for (uint32_t i = 0; i < n; i++) {
        if (f[i].type.id == id || find_type(f[i].type.children, f[i].type.n_children, id))
            return &f[i];
    }
    return NULL;
}

/* The values of one type can be read as those of the other. */
static bool type_keeps(const struct type *from, const struct type *to)
{
    if (from->id != to->id || from->n_children != to->n_children)
        return false;
    if (!to->n_children)
        return type_eq(from, to);
    for (uint32_t i = 0; i < to->n_children; i++) {
        const struct field *a = &from->children[i], *b = &to->children[i];
        if ((to->id == TYPE_STRUCT && !str_eq(a->name, b->name)) || (a->nullable && !b->nullable) ||
            !type_keeps(&a->type, &b->type))
            return false;
    }
    return true;
}

static void copy_meta(struct field *f, struct arena *arena, const struct field *from, struct str key)
{
    struct str json = field_meta_get(from, key);

    if (json.n)
        field_meta_set(f, arena, key, arena_str(arena, json));
}

/* Elements, keys and values have no ids; `sized`: the column holds a CHAR or VARCHAR somewhere, and so no STRING that counts as one. */
static void keep_ids(struct arena *arena, struct field *f, uint32_t n, const struct type *old, bool sized)
{
    for (uint32_t i = 0; i < n; i++) {
        const struct field *was = old->id == TYPE_STRUCT ? NULL : &old->children[i];
        for (uint32_t k = 0; old->id == TYPE_STRUCT && k < old->n_children; k++)
            if (str_eq_nocase(old->children[k].name, f[i].name))
                was = &old->children[k];
        if (!was)
            continue;
        bool text = sized || field_meta_get(&f[i], STR("__CHAR_VARCHAR_TYPE_STRING")).n;
        if (old->id == TYPE_STRUCT && !(text && find_type(&f[i], 1, TYPE_STRING)) && !f[i].id && was->id &&
            type_keeps(&was->type, &f[i].type)) {
            f[i].id = was->id;
            f[i].physical = arena_str(arena, was->physical);
            copy_meta(&f[i], arena, was, STR("delta.columnMapping.id"));
            copy_meta(&f[i], arena, was, STR("delta.columnMapping.physicalName"));
        }
        if (f[i].type.n_children && f[i].type.id == was->type.id)
            keep_ids(arena, f[i].type.children, f[i].type.n_children, &was->type, text);
    }
}

void delta_schema_keep_ids(struct schema *s, const struct schema *old)
{
    struct type whole = {.id = TYPE_STRUCT, .n_children = old->n_fields, .children = old->fields};

    keep_ids(&s->arena, s->fields, s->n_fields, &whole, false);
}

static int int_rank(enum type_id id)
{
    return id >= TYPE_BYTE && id <= TYPE_LONG ? (int)id - (int)TYPE_BYTE + 1 : 0;
}

bool delta_schema_widens(const struct type *from, const struct type *to)
{
    int rank = int_rank(from->id);

    if (rank && int_rank(to->id))
        return int_rank(to->id) > rank;
    if (rank && to->id == TYPE_DECIMAL)
        return to->precision - to->scale >= (from->id == TYPE_LONG ? 20 : 10);
    if (to->id == TYPE_DOUBLE)
        return from->id == TYPE_FLOAT || (rank && from->id != TYPE_LONG);
    if (from->id == TYPE_DATE)
        return to->id == TYPE_TIMESTAMP_NTZ;
    return from->id == TYPE_DECIMAL && to->id == TYPE_DECIMAL && to->scale >= from->scale &&
           to->precision - from->precision >= to->scale - from->scale;
}

void delta_schema_note_widening(struct field *f, const struct type *from, const struct type *to, struct str path,
                                struct arena *arena)
{
    struct str old = field_meta_get(f, STR("delta.typeChanges"));
    CLEANUP(buf_deinit) struct buf json = {0};

    if (old.n > 2)
        buf_printf(&json, "%.*s,", (int)old.n - 1, old.p);
    else
        buf_add_char(&json, '[');
    buf_add_cstr(&json, "{\"fromType\":");
    write_type(from, &json);
    buf_add_cstr(&json, ",\"toType\":");
    write_type(to, &json);
    if (path.n) {
        buf_add_cstr(&json, ",\"fieldPath\":");
        buf_add_json_str(&json, path);
    }
    buf_add_cstr(&json, "}]");
    field_meta_set(f, arena, STR("delta.typeChanges"), buf_str(&json));
}

const struct field *delta_schema_find_type(const struct schema *s, enum type_id id)
{
    return find_type(s->fields, s->n_fields, id);
}

struct str delta_field_text(const struct field *f, const char *key, struct arena *arena)
{
    struct str json = field_meta_get(f, str_of(key)), text = {0};
    yyjson_doc *doc = json.n ? yyjson_read(json.p, json.n, YYJSON_READ_ALLOW_INVALID_UNICODE) : NULL;
    yyjson_val *v = yyjson_doc_get_root(doc);

    if (yyjson_is_str(v))
        text = arena_str(arena, str_make(yyjson_get_str(v), yyjson_get_len(v)));
    yyjson_doc_free(doc);
    return text;
}
