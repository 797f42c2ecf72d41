/* Two tables by name. Each line was asked of Spark (tests/test_table_expressions.py), with NULL, texts of other letters, negative numbers. */
#include "delta/dml/table_calls.h"

#include "base/buf.h"
#include "base/macros.h"

#include <ctype.h>

/* The place before the first letter, of one that is counted from the end as well; 0 is the first, as 1 is. */
#define START "CASE WHEN $2 > 0 THEN $2 - 1 WHEN $2 < 0 THEN length($1) + $2 ELSE 0 END"
#define SECONDS \
    "CAST(CAST((epoch_us($1) % 60000000 + 60000000) % 60000000 AS DOUBLE) / CAST(1000000 AS DOUBLE) AS DECIMAL(8,6))"
#define UNIT(text)                                                                                            \
    "date_trunc(CASE upper(" text ") WHEN 'YYYY' THEN 'year' WHEN 'YY' THEN 'year' WHEN 'YEAR' THEN 'year' "  \
    "WHEN 'MM' THEN 'month' WHEN 'MON' THEN 'month' WHEN 'MONTH' THEN 'month' WHEN 'QUARTER' THEN 'quarter' " \
    "WHEN 'WEEK' THEN 'week'"
/* What does not fit goes round, as in Java: of the bits only the lowest count. */
#define WRAPPED(value, half, mask, type) "CAST(((" value ") + " half " & " mask ") - " half " AS " type ")"
#define WRAPPED_INT(value) WRAPPED(value, "2147483648", "4294967295", "INTEGER")
#define WRAPPED_BIGINT(value) WRAPPED(value, "9223372036854775808", "18446744073709551615", "BIGINT")

static const struct table_call CALLS[] = {
    {"add_months", "di", "CAST($1 + to_months($2) AS DATE)"},
    {"array", ".*", "list_value($*)"},
    {"array_append", "l.", "CASE WHEN $1 IS NOT NULL THEN list_append($1, $2) END"},
    {"array_max", "l", "list_max($1)"},
    {"array_min", "l", "list_min($1)"},
    {"array_position", "l.",
     "CASE WHEN $1 IS NOT NULL AND $2 IS NOT NULL THEN CAST(coalesce(list_position($1, $2), 0) AS BIGINT) END"},
    {"array_prepend", "l.", "CASE WHEN $1 IS NOT NULL THEN list_prepend($2, $1) END"},
    {"array_size", "l", "CAST(len($1) AS INTEGER)"},
    {"bit_count", "w", "CAST(bit_count(CAST($1 AS BIGINT)) AS INTEGER)"},
    {"bit_length", "b", "CAST(octet_length($1) * 8 AS INTEGER)"},
    {"bit_length", "s", "CAST(bit_length($1) AS INTEGER)"},
    {"btrim", "s", "trim($1, ' ')"},
    {"btrim", "ss", "trim($1, $2)"},
    {"ceil ceiling", "c", "ceil($1)"},
    {"ceil ceiling", "f", "CAST(ceil($1) AS BIGINT)"},
    {"ceil ceiling", "w", "CAST($1 AS BIGINT)"},
    {"chr char", "w", "CASE WHEN $1 < 0 THEN '' ELSE chr(CAST($1 % 256 AS INTEGER)) END"},
    {"concat", "b*", "$|"},
    {"concat", "s*", "$|"},
    {"concat_ws", "s*", "concat_ws($*)"},
    {"date_add dateadd", "di", "$1 + $2"},
    {"date_from_unix_date", "i", "DATE '1970-01-01' + $1"},
    {"date_sub", "di", "$1 - $2"},
    {"date_trunc", "st",
     UNIT(
         "$1") " WHEN 'DD' THEN 'day' WHEN 'DAY' THEN 'day' WHEN 'HOUR' THEN 'hour' WHEN 'MINUTE' THEN 'minute' "
               "WHEN 'SECOND' THEN 'second' WHEN 'MILLISECOND' THEN 'millisecond' WHEN 'MICROSECOND' THEN 'microsecond' END, $2)"},
    {"datediff date_diff", "dd", "CAST($1 - $2 AS INTEGER)"},
    {"day dayofmonth", "d", "day($1)"},
    {"dayname", "d", "left(dayname($1), 3)"},
    {"dayofweek", "d", "dayofweek($1) + 1"}, /* Sunday is 1 */
    {"dayofyear", "d", "dayofyear($1)"},
    {"e", "", "exp(CAST(1 AS DOUBLE))"},
    {"endswith", "ss", "ends_with($1, $2)"},
    {"equal_null", "..", "($1 IS NOT DISTINCT FROM $2)"},
    {"expm1", "n", "exp($1) - 1"},
    {"flatten", "l", "CASE WHEN list_count($1) = len($1) THEN flatten($1) END"},
    {"floor", "c", "floor($1)"},
    {"floor", "f", "CAST(floor($1) AS BIGINT)"},
    {"floor", "w", "CAST($1 AS BIGINT)"},
    {"get", "lw", "CASE WHEN $2 >= 0 THEN $1[$2 + 1] END"},
    {"hour", "t", "hour($1)"},
    {"initcap", "s",
     "array_to_string(list_transform(string_split(lower($1), ' '), lambda __w: upper(__w[1:1]) || __w[2:]), ' ')"},
    {"instr", "ss", "instr($1, $2)"},
    {"isnan", "n", "coalesce(isnan($1), false)"},
    {"isnotnull", ".", "($1 IS NOT NULL)"},
    {"isnull", ".", "($1 IS NULL)"},
    {"last_day", "d", "last_day($1)"},
    {"left", "si", "left($1, greatest($2, 0))"},
    {"length len char_length character_length", "b", "octet_length($1)"},
    {"length len char_length character_length", "s", "length($1)"},
    {"ln", "n", "CASE WHEN $1 > 0 THEN ln($1) END"},
    {"locate position", "ss", "instr($2, $1)"},
    {"log", "n", "CASE WHEN $1 > 0 THEN ln($1) END"},
    {"log", "nn", "CASE WHEN $2 > 0 AND $1 > 0 THEN ln($2) / ln($1) END"},
    {"log10", "n", "CASE WHEN $1 > 0 THEN log10($1) END"},
    {"log2", "n", "CASE WHEN $1 > 0 THEN ln($1) / ln(CAST(2 AS DOUBLE)) END"},
    {"lower lcase", "s", "lower(replace($1, 'İ', 'i̇'))"},
    {"lpad", "si", "lpad($1, $2, ' ')"},
    {"lpad", "sis", "lpad($1, $2, $3)"},
    {"ltrim", "s", "ltrim($1, ' ')"},
    {"ltrim", "ss", "ltrim($2, $1)"},
    {"minute", "t", "minute($1)"},
    {"month", "d", "month($1)"},
    {"monthname", "d", "left(monthname($1), 3)"},
    {"nanvl", "nn", "CASE WHEN isnan($1) THEN $2 ELSE $1 END"},
    {"negative", ".", "(- $1)"},
    {"nullifzero", ".", "nullif($1, 0)"},
    {"nvl", "..", "coalesce($1, $2)"},
    {"nvl2", "...", "CASE WHEN $1 IS NOT NULL THEN $2 ELSE $3 END"},
    {"octet_length", "b", "octet_length($1)"},
    {"octet_length", "s", "strlen($1)"},
    {"pmod", "..",
     "CASE WHEN $1 % spark_divisor($2) < 0 THEN ($1 % spark_divisor($2) + $2) % spark_divisor($2) ELSE $1 % spark_divisor($2) END"},
    {"positive", ".", "($1)"},
    {"quarter", "d", "quarter($1)"},
    {"regexp_extract", "ss", "regexp_extract($1, $2, 1)"},
    {"regexp_extract", "ssi", "regexp_extract($1, $2, $3)"},
    {"regexp_replace", "sss",
     "regexp_replace($1, $2, CASE WHEN contains($3, '\\') THEN error('regexp_replace() with a backslash in what is put in') "
     "ELSE regexp_replace($3, '\\$([0-9])', '\\\\\\1', 'g') END, 'g')"},
    {"replace", "ss", "replace($1, $2, '')"},
    {"replace", "sss", "replace($1, $2, $3)"},
    {"reverse", "l", "list_reverse($1)"},
    {"reverse", "s", "reverse($1)"},
    {"right", "si", "right($1, greatest($2, 0))"},
    {"rlike regexp regexp_like", "ss", "regexp_matches($1, $2)"},
    {"round", "c", "round($1)"},
    {"round", "cw", "round($1, $2)"},
    {"round", "f", "round($1)"}, /* of digits behind the point, Spark's goes by the double's text */
    {"round", "w", "round($1)"},
    {"round", "ww", "round($1, $2)"},
    {"rpad", "si", "rpad($1, $2, ' ')"},
    {"rpad", "sis", "rpad($1, $2, $3)"},
    {"rtrim", "s", "rtrim($1, ' ')"},
    {"rtrim", "ss", "rtrim($2, $1)"},
    {"second", "t", "second($1)"},
    {"sha", "s", "sha1($1)"},
    {"sha2", "si",
     "CASE WHEN $2 IN (0, 256) THEN sha256($1) WHEN $2 IN (224, 384, 512) THEN error('sha2() of ' || $2 || ' bits is not computed here') END"},
    {"shiftleft", "uw", WRAPPED_INT("CAST($1 AS BIGINT) * (CAST(1 AS BIGINT) << ($2 & 31))")},
    {"shiftleft", "ww", WRAPPED_BIGINT("CAST($1 AS HUGEINT) * (CAST(1 AS HUGEINT) << ($2 & 63))")},
    {"shiftright", "uw", "CAST($1 AS INTEGER) >> CAST($2 & 31 AS INTEGER)"},
    {"shiftright", "ww", "$1 >> ($2 & 63)"},
    {"shiftrightunsigned", "uw", WRAPPED_INT("(CAST($1 AS BIGINT) & 4294967295) >> ($2 & 31)")},
    {"shiftrightunsigned", "ww", WRAPPED_BIGINT("(CAST($1 AS HUGEINT) & 18446744073709551615) >> ($2 & 63)")},
    {"sign signum", "n", "CAST(sign($1) AS DOUBLE)"},
    {"size cardinality", "l", "CAST(len($1) AS INTEGER)"},
    {"size cardinality", "m", "CAST(cardinality($1) AS INTEGER)"},
    {"space", "i", "repeat(' ', $1)"},
    {"split", "ss", "regexp_split_to_array($1, $2)"},
    {"startswith", "ss", "starts_with($1, $2)"},
    {"substring substr", "si", "substring($1, greatest(" START ", 0) + 1)"},
    {"substring substr", "sii",
     "substring($1, greatest(" START ", 0) + 1, greatest(" START " + greatest($3, 0), 0) - greatest(" START ", 0))"},
    {"timestamp_micros", "w", "make_timestamptz(CAST($1 AS BIGINT))"},
    {"timestamp_millis", "w", "make_timestamptz(CAST($1 AS BIGINT) * 1000)"},
    {"to_date", "d", "$1"},
    {"to_timestamp", "t", "$1"},
    {"trim", "s", "trim($1, ' ')"},
    {"trunc", "ds", "CAST(" UNIT("$2") " END, $1) AS DATE)"},
    {"try_divide", "nn", "CASE WHEN $2 <> 0 THEN $1 / $2 END"},
    {"unbase64", "s", "from_base64($1)"},
    {"unix_date", "d", "CAST($1 - DATE '1970-01-01' AS INTEGER)"},
    {"unix_micros", "t", "epoch_us($1)"},
    {"unix_seconds", "t", "CAST(floor(epoch($1)) AS BIGINT)"},
    {"unix_timestamp to_unix_timestamp", "t", "epoch_us($1) // 1000000"},
    {"upper ucase", "s", "upper(replace($1, 'ß', 'SS'))"},
    {"weekday", "d", "isodow($1) - 1"}, /* Monday is 0 */
    {"weekofyear", "d", "weekofyear($1)"},
    {"year", "d", "year($1)"},
    {"zeroifnull", ".", "coalesce($1, 0)"},
};

/* DuckDB has these as well, otherwise than Spark or not known to be alike. */
static const char *const REFUSED[] = {
    "aggregate",         "array_distinct", "array_intersect", "array_sort",     "collations",         "current_catalog",
    "current_database",  "current_schema", "current_user",    "filter",         "from_json",          "hash",
    "json_array_length", "levenshtein",    "make_time",       "make_timestamp", "map_concat",         "map_entries",
    "map_from_entries",  "printf",         "random",          "reduce",         "regexp_extract_all", "session_user",
    "to_binary",         "to_json",        "typeof",          "url_decode",     "url_encode",         "user",
    "version",
};

/* Of EXTRACT. */
static const struct table_call FIELDS[] = {
    {"year years yr yrs y", "d", "year($1)"},
    {"yearofweek", "d", "isoyear($1)"},
    {"quarter qtr", "d", "quarter($1)"},
    {"month months mon mons", "d", "month($1)"},
    {"week weeks w", "d", "weekofyear($1)"},
    {"day days d", "d", "day($1)"},
    {"dayofweek dow", "d", "dayofweek($1) + 1"},
    {"dayofweek_iso dow_iso", "d", "isodow($1)"},
    {"doy", "d", "dayofyear($1)"},
    {"hour hours hr hrs h", "t", "hour($1)"},
    {"minute minutes min mins m", "t", "minute($1)"},
    {"second seconds sec secs s", "t", SECONDS},
};

static bool is_number(enum engine_kind kind)
{
    return (kind >= ENGINE_TINYINT && kind <= ENGINE_DOUBLE) || kind == ENGINE_DECIMAL || kind == ENGINE_HUGEINT;
}

static bool is_time(enum engine_kind kind)
{
    return kind == ENGINE_DATE || kind == ENGINE_TIMESTAMP || kind == ENGINE_TIMESTAMP_TZ;
}

static bool fits(char takes, enum engine_kind kind)
{
    bool text = kind == ENGINE_VARCHAR;

    if (kind == ENGINE_SQLNULL)
        return takes != 'b';
    switch (takes) {
    case 's':
        return text || kind == ENGINE_BOOLEAN || is_number(kind) || is_time(kind);
    case 'd':
    case 't':
        return text || is_time(kind);
    case 'n':
        return text || is_number(kind);
    case 'u':
        return kind >= ENGINE_TINYINT && kind <= ENGINE_INTEGER;
    case 'i':
    case 'w':
        return kind >= ENGINE_TINYINT && kind <= ENGINE_BIGINT;
    case 'f':
        return kind == ENGINE_FLOAT || kind == ENGINE_DOUBLE;
    case 'c':
        return kind == ENGINE_DECIMAL;
    case 'l':
        return kind == ENGINE_LIST || kind == ENGINE_ARRAY;
    case 'm':
        return kind == ENGINE_MAP;
    case 'b':
        return kind == ENGINE_BLOB;
    default:
        return true;
    }
}

/* Is the name one of those, which have a space between them? */
static bool is_one_of(struct str name, const char *names)
{
    for (size_t n; *names; names += n + (names[n] == ' ')) {
        n = strcspn(names, " ");
        if (str_eq_nocase(name, str_make(names, n)))
            return true;
    }
    return false;
}

bool table_call_known(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(CALLS); i++)
        if (is_one_of(name, CALLS[i].names))
            return true;
    for (size_t i = 0; i < ARRAY_LEN(REFUSED); i++)
        if (str_eq_nocase(name, str_of(REFUSED[i])))
            return true;
    return false;
}

char table_call_takes(const struct table_call *call, size_t i)
{
    size_t n = strlen(call->takes);
    bool any = n && call->takes[n - 1] == '*';

    if (any && i + 2 > n)
        return call->takes[n - 2];
    return i < n ? call->takes[i] : 0;
}

const struct table_call *table_call_find(struct str name, const struct engine_type *const *types, size_t n)
{
    for (size_t k = 0; k < ARRAY_LEN(CALLS); k++) {
        const struct table_call *call = &CALLS[k];
        bool right = is_one_of(name, call->names) && !(strlen(call->takes) > n && !strchr(call->takes, '*'));
        for (size_t i = 0; i < n && right; i++) {
            char takes = table_call_takes(call, i);
            right = takes && fits(takes, types[i]->kind);
        }
        if (right)
            return call;
    }
    return NULL;
}

void table_call_sql(const struct table_call *call, const struct str *args, size_t n, struct buf *out)
{
    for (const char *p = call->sql; *p; p++) {
        if (*p == '$' && isdigit((unsigned char)p[1])) {
            struct str arg = args[*++p - '1'];
            buf_printf(out, "(%.*s)", STR_ARG(arg));
        } else if (*p == '$' && (p[1] == '*' || p[1] == '|')) {
            const char *between = *++p == '*' ? ", " : " || ";
            for (size_t i = 0; i < n; i++)
                buf_printf(out, "%s(%.*s)", i ? between : "", STR_ARG(args[i]));
        } else {
            buf_add_char(out, *p);
        }
    }
}

const struct table_call *table_call_field(struct str field)
{
    for (size_t i = 0; i < ARRAY_LEN(FIELDS); i++)
        if (is_one_of(field, FIELDS[i].names))
            return &FIELDS[i];
    return NULL;
}
