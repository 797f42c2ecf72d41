/* One pass over the text: quoted texts and names, numbers, words and operators. */
#include "delta/dml/table_words.h"

#include "base/macros.h"

#include <ctype.h>

enum { MAX_DEPTH = 64 };

static int add_words(struct str s, unsigned depth_left, struct buf *out, struct err *err);

/* Letters of date_format() and what strftime() has for them. */
static const struct {
    const char *spark, *ours;
} FORMATS[] = {
    {"yyyy", "%Y"}, {"yy", "%y"},   {"MMMM", "%B"}, {"MMM", "%b"}, {"MM", "%m"},     {"M", "%-m"},
    {"dd", "%d"},   {"d", "%-d"},   {"HH", "%H"},   {"H", "%-H"},  {"hh", "%I"},     {"h", "%-I"},
    {"mm", "%M"},   {"m", "%-M"},   {"ss", "%S"},   {"s", "%-S"},  {"SSSSSS", "%f"}, {"SSS", "%g"},
    {"a", "%p"},    {"EEEE", "%A"}, {"EEE", "%a"},  {"E", "%a"},   {"DDD", "%j"},
};

static bool in_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

static size_t word_length(struct str s, size_t i)
{
    size_t end = i;

    while (end < s.n && in_word(s.p[end]))
        end++;
    return end - i;
}

/* Behind the quoted text that begins at i; a backslash takes the next byte along, but in a name. */
static size_t skip_quoted(struct str s, size_t i)
{
    char quote = s.p[i];

    for (i++; i < s.n; i++) {
        bool doubled = s.p[i] == quote && i + 1 < s.n && s.p[i + 1] == quote;
        if (doubled || (s.p[i] == '\\' && quote != '`'))
            i++;
        else if (s.p[i] == quote)
            return i + 1;
    }
    return s.n;
}

/* The value of a text in quotes of either kind, with Spark's escapes. */
static void text_value(struct str quoted, struct buf *out)
{
    static const char escapes[] = "0\0b\bn\nr\rt\tZ\032";
    char quote = quoted.p[0];

    for (size_t i = 1; i < quoted.n; i++) {
        char c = quoted.p[i];
        if (c == quote && i + 1 == quoted.n)
            return;
        if (c == quote)
            i++; /* doubled */
        if (c != '\\' || i + 1 >= quoted.n) {
            buf_add_char(out, c);
            continue;
        }
        c = quoted.p[++i];
        if (c == '%' || c == '_')
            buf_add_char(out, '\\'); /* for LIKE */
        for (size_t k = 0; k + 2 < sizeof escapes; k += 2)
            if (c == escapes[k]) {
                c = escapes[k + 1];
                break;
            }
        buf_add_char(out, c);
    }
}

static void add_text(struct str quoted, struct buf *out)
{
    CLEANUP(buf_deinit) struct buf value = {0};

    if (quoted.p[0] == '`') {
        buf_add_str(out, quoted);
        return;
    }
    text_value(quoted, &value);
    buf_add_sql_literal(out, buf_str(&value));
}

/* A pattern's letters; false: one that strftime() has nothing for. */
static bool add_format(struct str pattern, struct buf *out)
{
    for (size_t i = 0, n; i < pattern.n; i += n) {
        const char *ours = NULL;
        for (n = 1; i + n < pattern.n && pattern.p[i + n] == pattern.p[i]; n++)
            ;
        if (!isalpha((unsigned char)pattern.p[i])) {
            for (size_t k = 0; k < n; k++)
                buf_printf(out, pattern.p[i] == '%' ? "%%%%" : "%c", pattern.p[i]);
            continue;
        }
        for (size_t k = 0; k < ARRAY_LEN(FORMATS); k++)
            if (str_eq(str_make(pattern.p + i, n), str_of(FORMATS[k].spark)))
                ours = FORMATS[k].ours;
        if (!ours)
            return false;
        buf_add_cstr(out, ours);
    }
    return true;
}

/* date_format(value, 'pattern') whose bracket is at `open`; *ret_end is where it ends, 0: it is another. */
static int add_date_format(struct str s, size_t open, unsigned depth_left, struct buf *out, size_t *ret_end,
                           struct err *err)
{
    CLEANUP(buf_deinit) struct buf format = {0}, pattern = {0};
    size_t depth = 0, comma = 0, literal = 0, end = open;

    *ret_end = 0;
    for (; end < s.n; end++) {
        if (strchr("'\"`", s.p[end])) {
            literal = end;
            end = skip_quoted(s, end) - 1;
            continue;
        }
        depth += s.p[end] == '(';
        depth -= s.p[end] == ')';
        if (!depth)
            break;
        if (depth == 1 && s.p[end] == ',')
            comma = end;
    }
    if (end >= s.n || !comma || literal < comma || str_skip_space(s, comma + 1) != literal ||
        str_skip_space(s, skip_quoted(s, literal)) != end)
        return 0;
    text_value(str_make(s.p + literal, skip_quoted(s, literal) - literal), &pattern);
    if (!add_format(buf_str(&pattern), &format))
        return 0;
    buf_add_cstr(out, "strftime(CAST(");
    TRY(add_words(str_make(s.p + open + 1, comma - open - 1), depth_left, out, err));
    buf_add_cstr(out, " AS TIMESTAMP), ");
    buf_add_sql_literal(out, buf_str(&format));
    buf_add_char(out, ')');
    *ret_end = end + 1;
    return 0;
}

/* A text in which nothing escapes, whose quote is at i. Where it ends, 0: it does not. */
static size_t take_raw(struct str s, size_t i, struct buf *ret)
{
    const char *close = memchr(s.p + i + 1, s.p[i], s.n - i - 1);

    if (!close)
        return 0;
    buf_add(ret, s.p + i + 1, (size_t)(close - s.p) - i - 1);
    return (size_t)(close - s.p) + 1;
}

static bool is_quote_at(struct str s, size_t i)
{
    return i < s.n && (s.p[i] == '\'' || s.p[i] == '"');
}

/* The value of the text at i, 'quoted' or R'raw'. Where it ends, 0: there is none. */
static size_t take_text(struct str s, size_t i, struct buf *ret)
{
    if (i < s.n && toupper((unsigned char)s.p[i]) == 'R' && is_quote_at(s, i + 1))
        return take_raw(s, i + 1, ret);
    if (!is_quote_at(s, i))
        return 0;
    size_t end = skip_quoted(s, i);
    text_value(str_make(s.p + i, end - i), ret);
    return end;
}

/* a [NOT] RLIKE 'pattern', behind the word at i; where it ends, 0: it is another. */
static size_t add_match(struct str s, size_t i, struct buf *out)
{
    CLEANUP(buf_deinit) struct buf pattern = {0}, text = {0};
    size_t end = take_text(s, str_skip_space(s, i), &text);
    bool negated = false;

    if (!end)
        return 0;
    buf_trim_end(out);
    if (out->n > 3 && str_eq_nocase(str_make(out->p + out->n - 3, 3), STR("NOT")) && !in_word(out->p[out->n - 4])) {
        negated = true;
        out->n -= 3;
    }
    buf_add_cstr(&pattern, "(?s:.*)(?:");
    buf_add_str(&pattern, buf_str(&text));
    buf_add_cstr(&pattern, ")(?s:.*)");
    buf_add_cstr(out, negated ? " !~ " : " ~ ");
    buf_add_sql_literal(out, buf_str(&pattern));
    return end;
}

/* Behind the digits, and the exponent, of the number at i. */
static size_t skip_number(struct str s, size_t i)
{
    size_t end = i, power;

    while (end < s.n && (isdigit((unsigned char)s.p[end]) || s.p[end] == '.'))
        end++;
    power = end + 1;
    if (end >= s.n || (s.p[end] != 'e' && s.p[end] != 'E'))
        return end;
    if (power < s.n && (s.p[power] == '-' || s.p[power] == '+'))
        power++;
    if (power >= s.n || !isdigit((unsigned char)s.p[power]))
        return end;
    while (power < s.n && isdigit((unsigned char)s.p[power]))
        power++;
    return power;
}

/* The number at i; a letter behind it says its type. */
static size_t add_number(struct str s, size_t i, struct buf *out)
{
    static const struct {
        const char *letters, *type;
    } types[] = {{"L", "BIGINT"}, {"S", "SMALLINT"}, {"Y", "TINYINT"}, {"D", "DOUBLE"}, {"F", "FLOAT"}, {"BD", NULL}};
    size_t end = skip_number(s, i), more = word_length(s, end);
    struct str number = str_make(s.p + i, end - i), letters = str_make(s.p + end, more);

    for (size_t k = 0; k < ARRAY_LEN(types); k++) {
        if (!str_eq_nocase(letters, str_of(types[k].letters)))
            continue;
        buf_printf(out, types[k].type ? "CAST(%.*s AS %s)" : "%.*s", STR_ARG(number), types[k].type);
        return end + more;
    }
    buf_printf(out, "%.*s%.*s", STR_ARG(number), STR_ARG(letters));
    return end + more;
}

/* Behind the bracket that closes the one at i. */
static size_t skip_brackets(struct str s, size_t i)
{
    size_t depth = 0;

    while (i < s.n) {
        char c = s.p[i];
        if (c == '\'' || c == '"' || c == '`') {
            i = skip_quoted(s, i);
            continue;
        }
        depth += c == '(' || c == '[';
        depth -= c == ')' || c == ']';
        i++;
        if (!depth)
            return i;
    }
    return s.n;
}

size_t table_words_skip(struct str s, size_t i)
{
    size_t n = word_length(s, i), quote = i + n;
    bool raw = n == 1 && strchr("RrXx", s.p[i]) && is_quote_at(s, quote);
    const char *close = raw ? memchr(s.p + quote + 1, s.p[quote], s.n - quote - 1) : NULL;

    if (raw)
        return close ? (size_t)(close - s.p) + 1 : s.n;
    if (is_quote_at(s, i) || s.p[i] == '`')
        return skip_quoted(s, i);
    return i + MAX(n, (size_t)1);
}

/* Behind what an operator at i applies to: a sign, a name or call or number or brackets, what is taken out of it. i: another thing. */
size_t table_words_operand(struct str s, size_t i)
{
    size_t at = str_skip_space(s, i), start;

    while (at < s.n && (s.p[at] == '-' || s.p[at] == '+'))
        at = str_skip_space(s, at + 1);
    start = at;
    while (at < s.n) {
        if (s.p[at] == '(' || (s.p[at] == '[' && at > start))
            at = skip_brackets(s, at);
        else if (s.p[at] == '`')
            at = skip_quoted(s, at);
        else if (at == start && isdigit((unsigned char)s.p[at]))
            at = skip_number(s, at);
        else if (in_word(s.p[at]))
            at += word_length(s, at);
        else if (s.p[at] == '.' && at > start)
            at++;
        else
            break;
    }
    return at == start || str_eq_nocase(str_make(s.p + start, at - start), STR("CASE")) ? i : at;
}

/* An operator that divides, and what it divides by, behind i: by zero is an error. Where that ends. */
static int add_division(struct str s, size_t i, const char *symbol, unsigned depth_left, struct buf *out,
                        size_t *ret_end, struct err *err)
{
    size_t end = table_words_operand(s, i);
    CLEANUP(buf_deinit) struct buf by = {0};

    buf_add_cstr(out, symbol);
    TRY(add_words(str_make(s.p + i, end - i), depth_left, &by, err));
    struct str number = str_trim(buf_str(&by));
    size_t zeros = 0;
    while (zeros < number.n && strchr("0.", number.p[zeros]))
        zeros++;
    if (end == i || (zeros < number.n && isdigit((unsigned char)number.p[zeros])))
        buf_add_str(out, buf_str(&by));
    else
        buf_printf(out, " spark_divisor(%s)", by.p);
    *ret_end = end;
    return 0;
}

/* [I]LIKE 'pattern' behind the word, with Spark's escape where none is named. Where it ends, 0: it is another. */
static size_t add_like(struct str s, struct str word, size_t i, struct buf *out)
{
    CLEANUP(buf_deinit) struct buf pattern = {0};
    size_t end = take_text(s, str_skip_space(s, i), &pattern), next = str_skip_space(s, end);

    if (!end || !pattern.n || !memchr(pattern.p, '\\', pattern.n) ||
        str_eq_nocase(str_make(s.p + next, word_length(s, next)), STR("ESCAPE")))
        return 0;
    buf_printf(out, "%.*s ", STR_ARG(word));
    buf_add_sql_literal(out, buf_str(&pattern));
    buf_add_cstr(out, " ESCAPE '\\'");
    return end;
}

/* X'4142' and R'raw text', whose quote is at i. Where it ends, 0: it is another. */
static size_t add_marked(struct str s, struct str mark, size_t i, struct buf *out)
{
    CLEANUP(buf_deinit) struct buf text = {0};
    bool bytes = str_eq_nocase(mark, STR("X"));
    size_t end = bytes || str_eq_nocase(mark, STR("R")) ? take_raw(s, i, &text) : 0;

    if (!end)
        return 0;
    buf_add_cstr(out, bytes ? "unhex(" : "");
    buf_add_sql_literal(out, buf_str(&text));
    buf_add_cstr(out, bytes ? ")" : "");
    return end;
}

/* The type before a text of it: Spark's TIMESTAMP is DuckDB's TIMESTAMPTZ. Another word is itself. */
static struct str timestamp_of(struct str word)
{
    if (str_eq_nocase(word, STR("TIMESTAMP")) || str_eq_nocase(word, STR("TIMESTAMP_LTZ")))
        return STR("TIMESTAMPTZ ");
    return str_eq_nocase(word, STR("TIMESTAMP_NTZ")) ? STR("TIMESTAMP ") : word;
}

static int add_word(struct str s, size_t i, unsigned depth_left, struct buf *out, size_t *ret_end, struct err *err)
{
    struct str word = str_make(s.p + i, word_length(s, i));
    size_t end = i + word.n, next = str_skip_space(s, end), done = 0;
    bool call = next < s.n && s.p[next] == '(';

    if (!call && (str_eq_nocase(word, STR("RLIKE")) || str_eq_nocase(word, STR("REGEXP"))))
        done = add_match(s, end, out);
    else if (!call && (str_eq_nocase(word, STR("LIKE")) || str_eq_nocase(word, STR("ILIKE"))))
        done = add_like(s, word, end, out);
    else if (call && str_eq_nocase(word, STR("date_format")))
        TRY(add_date_format(s, next, depth_left, out, &done, err));
    else if (str_eq_nocase(word, STR("DIV")) && i)
        TRY(add_division(s, end, "//", depth_left, out, &done, err));
    else if (is_quote_at(s, end))
        done = add_marked(s, word, end, out);
    if (!done)
        buf_add_str(out, is_quote_at(s, next) ? timestamp_of(word) : word);
    *ret_end = done ? done : end;
    return 0;
}

/* The depth is that of what divides, or is formatted, in each other. */
static int add_words(struct str s, unsigned depth_left, struct buf *out, struct err *err)
{
    size_t end;

    if (!depth_left--)
        return err_set(err, ERR_LIMIT, "more than %d divisions and date_format() stand in each other", MAX_DEPTH);
    for (size_t i = 0; i < s.n; i = end) {
        char c = s.p[i];
        end = i + 1;
        if (c == '\'' || c == '"' || c == '`') {
            end = skip_quoted(s, i);
            add_text(str_make(s.p + i, end - i), out);
        } else if (isdigit((unsigned char)c)) {
            end = add_number(s, i, out);
        } else if (in_word(c)) {
            TRY(add_word(s, i, depth_left, out, &end, err));
        } else if (c == '=' && end < s.n && s.p[end] == '=') { /* DuckDB's binds as tightly as || */
            end++;
            buf_add_char(out, '=');
        } else if (i + 3 <= s.n && memcmp(s.p + i, "<=>", 3) == 0) {
            end = i + 3;
            buf_add_cstr(out, " IS NOT DISTINCT FROM ");
        } else if (c == '/' || c == '%') {
            TRY(add_division(s, i + 1, c == '/' ? "/" : "%", depth_left, out, &end, err));
        } else {
            buf_add_char(out, c);
        }
    }
    return 0;
}

int table_words(struct str s, struct buf *out, struct err *err)
{
    return add_words(s, MAX_DEPTH, out, err);
}

void table_words_plain_texts(struct str s, struct buf *out)
{
    size_t end;

    for (size_t i = 0; i < s.n; i = end) {
        bool quoted = s.p[i] == '\'' || s.p[i] == '"' || s.p[i] == '`';
        end = quoted ? skip_quoted(s, i) : i + 1;
        if (quoted)
            add_text(str_make(s.p + i, end - i), out);
        else
            buf_add_char(out, s.p[i]);
    }
}

static bool begins_name(struct str s, size_t i)
{
    return i < s.n && (s.p[i] == '`' || (in_word(s.p[i]) && !isdigit((unsigned char)s.p[i])));
}

/* The word or the name in quotes that begins at i; *ret_name is without these. */
static size_t take_name(struct str s, size_t i, struct str *ret_name)
{
    size_t end = s.p[i] == '`' ? skip_quoted(s, i) : i + word_length(s, i), quote = s.p[i] == '`';

    *ret_name = str_make(s.p + i + quote, MAX(end - i, 2 * quote) - 2 * quote);
    return end;
}

bool table_words_name(struct str s, struct delta_path path)
{
    size_t end;

    for (size_t i = 0; i < s.n; i = end) {
        bool same = true;
        struct str name;
        end = i + 1;
        if (s.p[i] == '\'' || s.p[i] == '"') {
            end = skip_quoted(s, i);
        } else if (isdigit((unsigned char)s.p[i])) {
            end = i + word_length(s, i);
        } else if (begins_name(s, i)) {
            uint32_t k = 0;
            for (size_t next = i; begins_name(s, next); k++) {
                end = take_name(s, next, &name);
                same = same && (k >= path.n || str_eq_nocase(name, path.parts[k]));
                next = str_skip_space(s, end);
                next = next < s.n && s.p[next] == '.' ? str_skip_space(s, next + 1) : s.n;
            }
            if (same)
                return true;
        }
    }
    return false;
}
