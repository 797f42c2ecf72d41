/*
 * DuckDB's statistics of a file (or our encoder's, in the same words) in, Delta's stats JSON out (Delta protocol, "Per-file Statistics").
 *
 *   {"a"={min=1, max=9, null_count=0}, "st"."b"={…}}  →
 *   {"numRecords":10,"tightBounds":true,"minValues":{"a":1,"st":{"b":…}},"maxValues":{…},"nullCount":{…}}
 *
 * A bound that Delta's readers could misread is left out, which is always right: booleans and binary have none,
 * NaN is above every number, infinities have no JSON, dates outside 0001..9999 have no text. Strings are cut at 32
 * characters; a cut maximum gets a character that is above whatever was cut off. Timestamps are cut to milliseconds, as
 * Spark does for both bounds (its readers add one).
 */
#include "engine/parquet_stats.h"

#include "base/mem.h"
#include "engine/internal.h"

#include <assert.h>

enum { STRING_CHARS = 32 };

struct leaf {
    struct str min, max, nulls; /* p NULL: not known */
    bool has_nan;
    bool counts_lists; /* `nulls` is right for arrays and maps, too */
};

struct stats {
    const struct parquet_spec *spec;
    struct map leaves; /* quoted path → struct leaf */
    struct leaf *all;
    const uint64_t *nulls;
    enum { MIN_VALUES, MAX_VALUES, NULL_COUNT } what;
    uint32_t left; /* leaf columns that still get statistics */
    struct buf path;
};

/* Length in bytes of the UTF-8 character that starts with c. */
static size_t char_len(char c)
{
    return (uint8_t)c < 0x80 ? 1 : (uint8_t)c < 0xe0 ? 2 : (uint8_t)c < 0xf0 ? 3 : 4;
}

/* Bytes of the first n characters. `utf16`: those past U+FFFF count twice, the last one is whole. */
static size_t prefix_len(struct str s, size_t n, bool utf16)
{
    size_t at = 0;

    for (size_t seen = 0; seen < n && at < s.n; seen++) {
        size_t len = char_len(s.p[at]);
        seen += utf16 && len == 4;
        at += len;
    }
    return MIN(at, s.n);
}

/* DuckDB cuts at 256 bytes, perhaps inside a character, so that only what is well before that is looked at. Spark counts
 * the characters of a minimum as SQL does, those of a maximum as Java does. */
static bool string_bound(struct str s, bool is_max, struct buf *out)
{
    size_t n = prefix_len(s, STRING_CHARS, is_max), limit = prefix_len(s, 2 * STRING_CHARS, is_max);
    CLEANUP(buf_deinit) struct buf cut = {0};

    if (!str_is_utf8(str_make(s.p, n)))
        return false;
    if (n == s.n || !is_max) {
        buf_add_json_str(out, str_make(s.p, n));
        return true;
    }
    while (n < limit && s.n - n >= 4 && memcmp(s.p + n, "\xf4\x8f\xbf\xbf", 4) == 0)
        n += 4; /* the highest character of all: nothing is above it, so it stays */
    if (n >= limit || !str_is_utf8(str_make(s.p, n)))
        return false;
    buf_add(&cut, s.p, n);
    buf_add_cstr(&cut, (uint8_t)s.p[n] < 0x7f ? "\x7f" : "\xf4\x8f\xbf\xbf");
    buf_add_json_str(out, buf_str(&cut));
    return true;
}

static bool float_bound(struct str s, bool is_max, struct buf *out)
{
    if (str_is(s, "0.0") || str_is(s, "-0.0") || str_is(s, "0") || str_is(s, "-0"))
        s = is_max ? STR("0.0") : STR("-0.0"); /* the two are equal, so that either may be among the values */
    if (str_is(s, "nan") || str_is(s, "inf") || str_is(s, "-inf")) { /* in Delta's words; NaN is above all others */
        buf_add_cstr(out, s.p[0] == 'n' ? "\"NaN\"" : s.p[0] == 'i' ? "\"Infinity\"" : "\"-Infinity\"");
        return true;
    }
    for (size_t i = 0; i < s.n; i++)
        if (!strchr("0123456789+-.eE", s.p[i]))
            return false;
    buf_add_str(out, s);
    return s.n > 0;
}

/* "2024-01-10": four digits of a year, no era, no infinity. */
static bool is_date(struct str s)
{
    for (size_t i = 0; i < 10; i++)
        if (i >= s.n || (i == 4 || i == 7 ? s.p[i] != '-' : s.p[i] < '0' || s.p[i] > '9'))
            return false;
    return true;
}

/* "2024-01-01 00:01:38.123456+00" → "2024-01-01T00:01:38.123Z" */
static bool timestamp_bound(struct str s, bool zone, struct buf *out)
{
    char ms[] = ".000";

    if (zone) {
        if (!str_has_suffix(s, STR("+00")))
            return false;
        s.n -= 3;
    }
    if (s.n < 19 || s.n > 26 || !is_date(s) || s.p[10] != ' ' || (s.n > 19 && s.p[19] != '.'))
        return false;
    for (size_t i = 20; i < MIN(s.n, 23); i++)
        ms[i - 19] = s.p[i];
    buf_printf(out, "\"%.10sT%.8s%s%s\"", s.p, s.p + 11, ms, zone ? "Z" : "");
    return true;
}

bool parquet_stats_bound(const struct type *type, struct str text, bool is_max, struct buf *out)
{
    switch (type->id) {
    case TYPE_BYTE:
    case TYPE_SHORT:
    case TYPE_INTEGER:
    case TYPE_LONG:
        buf_add_str(out, text);
        return text.n > 0;
    case TYPE_DECIMAL:
        buf_add_decimal(out, text);
        return text.n > 0;
    case TYPE_FLOAT:
    case TYPE_DOUBLE:
        return float_bound(text, is_max, out);
    case TYPE_DATE:
        if (text.n != 10 || !is_date(text))
            return false;
        buf_printf(out, "\"%.10s\"", text.p);
        return true;
    case TYPE_TIMESTAMP:
    case TYPE_TIMESTAMP_NTZ:
        return timestamp_bound(text, type->id == TYPE_TIMESTAMP, out);
    case TYPE_STRING:
        return string_bound(text, is_max, out);
    default:
        return false;
    }
}

/* Do values of the type get bounds? */
static bool has_bounds(const struct type *type)
{
    return type->id >= TYPE_BYTE && type->id <= TYPE_TIMESTAMP_NTZ && type->id != TYPE_BINARY;
}

static bool leaf_json(struct stats *st, const struct type *type, int column, struct buf *out)
{
    const struct leaf *leaf = map_get(&st->leaves, buf_str(&st->path));

    if (st->what == NULL_COUNT) {
        if (column >= 0 && st->nulls)
            buf_printf(out, "%llu", (unsigned long long)st->nulls[column]);
        else if (leaf && leaf->nulls.p && (leaf->counts_lists || !type_is_nested(type)))
            buf_add_str(out, leaf->nulls);
        else
            return false;
        return true;
    }
    if (!leaf)
        return false;
    struct str text = st->what == MIN_VALUES ? leaf->min : leaf->max;
    if (leaf->has_nan && (st->what == MAX_VALUES || !text.p)) /* without a minimum: there is nothing but NaN */
        text = STR("nan");
    return text.p && parquet_stats_bound(type, text, st->what == MAX_VALUES, out);
}

/* Is the leaf at st->path among those that get statistics? */
static bool is_wanted(const struct stats *st)
{
    struct str path = buf_str(&st->path);

    for (uint32_t i = 0; i < st->spec->n_stats_paths; i++) {
        struct str p = st->spec->stats_paths[i];
        if (str_has_prefix(path, p) && (path.n == p.n || path.p[p.n] == '.'))
            return true;
    }
    return !st->spec->stats_paths;
}

/* The object of one of the three kinds over a list of fields. False when there is nothing that it could hold (and adds
 * nothing); a struct whose fields are all NULL has {} as its bounds, as Spark writes it. */
static bool fields_json(struct stats *st, const struct field *fields, uint32_t n, bool top, struct buf *out)
{
    size_t begin = out->n, path_n = st->path.n;
    bool any = false, could = top;

    buf_add_char(out, '{');
    if (top && st->spec->stats_fields)
        n = MIN(n, st->spec->stats_fields);
    for (uint32_t i = 0; i < n && st->left; i++) {
        size_t before = out->n;
        if (any)
            buf_add_char(out, ',');
        buf_add_json_str(out, fields[i].physical);
        buf_add_char(out, ':');
        if (!top)
            buf_add_char(&st->path, '.');
        buf_add_sql_ident(&st->path, fields[i].physical);
        bool is_struct = fields[i].type.id == TYPE_STRUCT;
        bool wanted = !is_struct && is_wanted(st);
        bool added = is_struct ? fields_json(st, fields[i].type.children, fields[i].type.n_children, false, out)
                               : wanted && leaf_json(st, &fields[i].type, top ? (int)i : -1, out);
        st->left -= !is_struct;
        st->path.n = path_n;
        if (!added)
            out->n = before;
        any |= added;
        could |= added || (wanted && st->what != NULL_COUNT && has_bounds(&fields[i].type));
    }
    buf_add_char(out, '}');
    if (!could)
        out->n = begin;
    return could;
}

static uint64_t n_leaves(const struct engine_vector *columns)
{
    return columns && !engine_is_null(columns, 0) ? ((const struct listview *)columns->data)->length : 0;
}

/* Reads the map of maps. The strings are borrowed from the result. */
static void leaves_read(struct stats *st, const struct engine_vector *columns, bool counts_lists, struct leaf *to)
{
    if (!n_leaves(columns))
        return;
    const struct listview *outer = columns->data;
    const struct engine_vector *entry = &columns->children[0], *values = &entry->children[1];
    for (uint64_t i = 0; i < outer->length; i++) {
        struct leaf *leaf = &to[i];
        leaf->counts_lists = counts_lists;
        const struct listview *inner = (const struct listview *)values->data + outer->offset + i;
        const struct engine_vector *keys = &values->children[0].children[0], *texts = &values->children[0].children[1];
        for (uint64_t j = inner->offset; j < inner->offset + inner->length; j++) {
            struct str key = engine_str(keys, j), text = engine_str(texts, j);
            if (str_is(key, "min"))
                leaf->min = text;
            else if (str_is(key, "max"))
                leaf->max = text;
            else if (str_is(key, "null_count"))
                leaf->nulls = text;
            else if (str_is(key, "has_nan"))
                leaf->has_nan = !str_is(text, "false");
        }
        map_put(&st->leaves, engine_str(&entry->children[0], outer->offset + i), leaf);
    }
}

static void stats_json(struct stats *st, uint64_t rows, struct buf *out)
{
    static const char *names[] = {[MIN_VALUES] = "minValues", [MAX_VALUES] = "maxValues", [NULL_COUNT] = "nullCount"};
    const struct parquet_spec *spec = st->spec;

    buf_printf(out, "{\"numRecords\":%llu", (unsigned long long)rows);
    if (spec->tight_bounds)
        buf_add_cstr(out, ",\"tightBounds\":true");
    for (int what = MIN_VALUES; !spec->no_stats && what <= NULL_COUNT; what++) {
        st->what = what;
        st->left = spec->stats_paths ? UINT32_MAX : spec->stats_columns ? spec->stats_columns : 32;
        buf_printf(out, ",\"%s\":", names[what]);
        fields_json(st, spec->schema->fields, spec->schema->n_fields, true, out);
    }
    buf_add_char(out, '}');
}

static void stats_deinit(struct stats *st)
{
    map_deinit(&st->leaves);
    mem_free(st->all);
    buf_deinit(&st->path);
}

void parquet_stats_json(const struct parquet_spec *spec, uint64_t rows, const struct engine_vector *columns,
                        const struct engine_vector *lists, const uint64_t *nulls, struct buf *out)
{
    CLEANUP(stats_deinit) struct stats st = {.spec = spec, .nulls = nulls};

    if (!spec->no_stats) {
        st.all = MEM_NEW_N(struct leaf, n_leaves(columns) + n_leaves(lists) + 1);
        leaves_read(&st, columns, false, st.all);
        leaves_read(&st, lists, true, st.all + n_leaves(columns));
    }
    stats_json(&st, rows, out);
}

void parquet_stats_json_of(const struct parquet_spec *spec, uint64_t rows, const struct parquet_column_stats *columns,
                           struct arena *arena, struct buf *out)
{
    uint32_t n = spec->schema->n_fields;
    uint64_t *nulls = ARENA_NEW_N(arena, uint64_t, n + 1);
    CLEANUP(stats_deinit) struct stats st = {.spec = spec, .nulls = nulls, .all = MEM_NEW_N(struct leaf, n + 1)};

    for (uint32_t i = 0; i < n; i++) {
        const struct parquet_column_stats *c = &columns[i];
        CLEANUP(buf_deinit) struct buf path = {0};
        st.all[i] = (struct leaf){.min = c->min, .max = c->max, .has_nan = c->has_nan};
        nulls[i] = c->nulls;
        buf_add_sql_ident(&path, spec->schema->fields[i].physical);
        map_put(&st.leaves, arena_str(arena, buf_str(&path)), &st.all[i]);
    }
    stats_json(&st, rows, out);
}
