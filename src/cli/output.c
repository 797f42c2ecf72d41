/*
 * The three formats. CSV (quoted as RFC 4180 has it, lines end in LF as Unix tools expect) and JSON stream; a table needs the width of its columns, so rows are collected first:
 *
 *   ┌────┬───────┐
 *   │ id │ name  │
 *   ├────┼───────┤
 *   │  1 │ Zoë   │
 *   │  2 │ NULL  │
 *   └────┴───────┘
 *
 * A line for each value is for rows of many or long columns:
 *
 *   row 1
 *     id    1
 *     name  Zoë
 */
#include "cli/output.h"

#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"
#include "engine/render.h"

#include <assert.h>
#include <errno.h>
#include <wchar.h>

enum { BLOCK_ROWS = 100000 };

static uint32_t utf8_next(struct str s, size_t *at)
{
    uint8_t c = (uint8_t)s.p[*at];
    size_t n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    uint32_t code = n == 1 ? c : c & (0x7fU >> n);

    for (size_t i = 1; i < n && *at + i < s.n; i++)
        code = code << 6 | ((uint8_t)s.p[*at + i] & 0x3f);
    *at = MIN(*at + n, s.n);
    return code;
}

static unsigned char_width(uint32_t code)
{
    int w = wcwidth((wchar_t)code);

    return w < 0 ? 1 : (unsigned)w;
}

/* Columns that UTF-8 text takes on a terminal; wide characters take 2, combining ones 0. */
static unsigned width_of(struct str s)
{
    unsigned width = 0;

    for (size_t at = 0; at < s.n;)
        width += char_width(utf8_next(s, &at));
    return width;
}

static int write_out(FILE *out, struct buf *text, struct err *err)
{
    if (text->n && fwrite(text->p, 1, text->n, out) != text->n)
        return err_set_errno(err, "writing the result");
    buf_reset(text);
    return 0;
}

static int output_json(FILE *out, struct engine_result *result, uint64_t *rows, struct err *err)
{
    CLEANUP(buf_deinit) struct buf text = {0};
    const struct engine_chunk *chunk;
    int rc;

    while ((rc = engine_result_next(result, &chunk, err)) == 0) {
        for (uint32_t i = 0; i < chunk->n; i++) {
            render_json_row(&text, result, chunk, i);
            buf_add_char(&text, '\n');
            if (text.n > 1 << 16)
                TRY(write_out(out, &text, err));
        }
        *rows += chunk->n;
    }
    return rc < 0 ? rc : write_out(out, &text, err);
}

static void csv_name(struct buf *text, struct str name)
{
    if (!memchr(name.p, ',', name.n) && !memchr(name.p, '"', name.n) && !memchr(name.p, '\n', name.n))
        buf_add_str(text, name);
    else
        buf_add_sql_ident(text, name); /* the same quoting */
}

static int output_csv(FILE *out, struct engine_result *result, uint64_t *rows, struct err *err)
{
    CLEANUP(buf_deinit) struct buf text = {0};
    const struct engine_chunk *chunk;
    int rc;

    for (uint32_t c = 0; c < engine_result_n_columns(result); c++) {
        if (c)
            buf_add_char(&text, ',');
        csv_name(&text, engine_result_column(result, c)->name);
    }
    buf_add_cstr(&text, "\n");
    while ((rc = engine_result_next(result, &chunk, err)) == 0) {
        for (uint32_t i = 0; i < chunk->n; i++) {
            for (uint32_t c = 0; c < chunk->n_cols; c++) {
                if (c)
                    buf_add_char(&text, ',');
                render_csv(&text, &chunk->cols[c], i);
            }
            buf_add_cstr(&text, "\n");
            if (text.n > 1 << 16)
                TRY(write_out(out, &text, err));
        }
        *rows += chunk->n;
    }
    return rc < 0 ? rc : write_out(out, &text, err);
}

struct table {
    struct arena arena;
    uint32_t n_cols;
    const char **names;
    bool *right; /* numbers stand at the right */
    unsigned *widths;
    struct str *cells; /* n_rows * n_cols */
    size_t n_rows, cap_rows;
    unsigned limit; /* columns of the terminal; 0: none */
    bool as_lines;
    uint64_t n_printed;
};

/* A cell is one line: control characters become what one writes for them. */
static struct str cell(struct arena *arena, struct str s)
{
    CLEANUP(buf_deinit) struct buf out = {0};

    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = (uint8_t)s.p[i];
        if (c == '\n')
            buf_add_cstr(&out, "\\n");
        else if (c == '\t')
            buf_add_cstr(&out, "\\t");
        else if (c < 0x20 || c == 0x7f)
            buf_printf(&out, "\\x%02x", c);
        else
            buf_add_char(&out, (char)c);
    }
    return arena_str(arena, buf_str(&out));
}

static bool is_number(enum engine_kind k)
{
    return (k >= ENGINE_TINYINT && k <= ENGINE_DOUBLE) || k == ENGINE_HUGEINT || k == ENGINE_UHUGEINT ||
           k == ENGINE_DECIMAL || k == ENGINE_BIGNUM;
}

static void table_add(struct table *t, const struct engine_chunk *chunk, uint32_t row)
{
    CLEANUP(buf_deinit) struct buf text = {0};

    if (t->n_rows == t->cap_rows) {
        t->cap_rows = t->cap_rows ? t->cap_rows * 2 : 64;
        t->cells = mem_realloc_n(t->cells, t->cap_rows * t->n_cols, sizeof *t->cells);
    }
    for (uint32_t c = 0; c < t->n_cols; c++) {
        buf_reset(&text);
        if (engine_is_null(&chunk->cols[c], row))
            buf_add_cstr(&text, "NULL");
        else
            render_text(&text, &chunk->cols[c], row);
        struct str s = cell(&t->arena, buf_str(&text));
        t->cells[t->n_rows * t->n_cols + c] = s;
        t->widths[c] = MAX(t->widths[c], width_of(s));
    }
    t->n_rows++;
}

static unsigned table_width(const struct table *t)
{
    unsigned total = 1;

    for (uint32_t c = 0; c < t->n_cols; c++)
        total += t->widths[c] + 3;
    return total;
}

/* Takes from the widest columns until the lines fit; a column keeps 8. */
static void table_fit(struct table *t)
{
    unsigned total = table_width(t);

    while (t->limit && total > t->limit) {
        uint32_t widest = 0;
        for (uint32_t c = 1; c < t->n_cols; c++)
            if (t->widths[c] > t->widths[widest])
                widest = c;
        if (t->widths[widest] <= 8)
            return;
        t->widths[widest]--;
        total--;
    }
}

static void add_cell(struct buf *line, struct str s, unsigned width, bool right)
{
    unsigned w = width_of(s), used = 0;
    size_t at = 0;

    if (w > width) { /* cut, with … as the last column */
        while (at < s.n) {
            size_t next = at;
            unsigned cw = char_width(utf8_next(s, &next));
            if (used + cw > width - 1)
                break;
            used += cw;
            at = next;
        }
        buf_add(line, s.p, at);
        buf_add_cstr(line, "…");
        w = used + 1;
        right = false;
    } else if (!right) {
        buf_add_str(line, s);
    }
    for (unsigned i = w; i < width; i++)
        buf_add_char(line, ' ');
    if (right)
        buf_add_str(line, s);
}

/* A terminal too narrow for the columns' least widths: the line ends at its edge. */
static void end_line(struct buf *out, size_t begin, unsigned limit)
{
    struct str line = str_make(out->p + begin, out->n - begin);
    unsigned used = 0;

    for (size_t at = 0; limit && at < line.n;) {
        size_t next = at;
        used += char_width(utf8_next(line, &next));
        if (used > limit) {
            out->n = begin + at;
            break;
        }
        at = next;
    }
    buf_add_char(out, '\n');
}

static void add_rule(const struct table *t, struct buf *out, const char *left, const char *middle, const char *right)
{
    size_t begin = out->n;

    for (uint32_t c = 0; c < t->n_cols; c++) {
        buf_add_cstr(out, c ? middle : left);
        for (unsigned i = 0; i < t->widths[c] + 2; i++)
            buf_add_cstr(out, "─");
    }
    buf_add_cstr(out, right);
    end_line(out, begin, t->limit);
}

static void add_row(const struct table *t, struct buf *out, const struct str *cells, bool names)
{
    size_t begin = out->n;

    for (uint32_t c = 0; c < t->n_cols; c++) {
        buf_add_cstr(out, c ? " │ " : "│ ");
        add_cell(out, names ? str_of(t->names[c]) : cells[c], t->widths[c], t->right[c] && !names);
    }
    buf_add_cstr(out, " │");
    end_line(out, begin, t->limit);
}

static int lines_print(struct table *t, FILE *out, struct err *err)
{
    CLEANUP(buf_deinit) struct buf text = {0};
    unsigned width = 0;

    for (uint32_t c = 0; c < t->n_cols; c++)
        width = MAX(width, width_of(str_of(t->names[c])));
    for (size_t i = 0; i < t->n_rows; i++) {
        buf_printf(&text, "row %llu\n", (unsigned long long)++t->n_printed);
        for (uint32_t c = 0; c < t->n_cols; c++) {
            buf_add_cstr(&text, "  ");
            add_cell(&text, str_of(t->names[c]), width + 2, false);
            buf_add_str(&text, t->cells[i * t->n_cols + c]);
            buf_add_char(&text, '\n');
        }
        if (text.n > 1 << 16)
            TRY(write_out(out, &text, err));
    }
    t->n_rows = 0;
    return write_out(out, &text, err);
}

static int table_print(struct table *t, FILE *out, struct err *err)
{
    CLEANUP(buf_deinit) struct buf text = {0};

    if (t->as_lines || (t->limit && t->n_rows == 1 && table_width(t) > t->limit))
        return lines_print(t, out, err);
    table_fit(t);
    add_rule(t, &text, "┌", "┬", "┐");
    add_row(t, &text, NULL, true);
    add_rule(t, &text, "├", "┼", "┤");
    for (size_t i = 0; i < t->n_rows; i++) {
        add_row(t, &text, t->cells + i * t->n_cols, false);
        if (text.n > 1 << 16)
            TRY(write_out(out, &text, err));
    }
    add_rule(t, &text, "└", "┴", "┘");
    t->n_rows = 0;
    return write_out(out, &text, err);
}

static void table_init(struct table *t, struct engine_result *result)
{
    t->n_cols = engine_result_n_columns(result);
    t->names = ARENA_NEW_N(&t->arena, const char *, t->n_cols + 1);
    t->right = ARENA_NEW_N(&t->arena, bool, t->n_cols + 1);
    t->widths = ARENA_NEW_N(&t->arena, unsigned, t->n_cols + 1);
    for (uint32_t c = 0; c < t->n_cols; c++) {
        const struct engine_column *column = engine_result_column(result, c);
        struct str name = cell(&t->arena, column->name);
        t->names[c] = arena_strdup(&t->arena, name);
        t->right[c] = is_number(column->type.kind);
        t->widths[c] = width_of(name);
    }
}

static int output_table(FILE *out, struct engine_result *result, unsigned width, bool as_lines, uint64_t *rows,
                        struct err *err)
{
    struct table t = {.limit = width, .as_lines = as_lines};
    const struct engine_chunk *chunk;
    int rc, printed = 0;

    table_init(&t, result);
    while ((rc = engine_result_next(result, &chunk, err)) == 0 && printed == 0) {
        for (uint32_t i = 0; i < chunk->n && printed == 0; i++) {
            table_add(&t, chunk, i);
            if (t.n_rows == BLOCK_ROWS)
                printed = table_print(&t, out, err);
        }
        *rows += chunk->n;
    }
    if (rc == 1 && printed == 0 && (t.n_rows || *rows == 0))
        printed = table_print(&t, out, err);
    mem_free(t.cells);
    arena_deinit(&t.arena);
    return rc < 0 ? rc : printed;
}

/* A plan is a drawing of its own. */
static bool is_plan(const struct engine_result *result)
{
    return engine_result_n_columns(result) == 2 && str_is(engine_result_column(result, 0)->name, "explain_key") &&
           str_is(engine_result_column(result, 1)->name, "explain_value");
}

static int output_plan(FILE *out, struct engine_result *result, uint64_t *rows, struct err *err)
{
    CLEANUP(buf_deinit) struct buf text = {0};
    const struct engine_chunk *chunk;
    int rc;

    while ((rc = engine_result_next(result, &chunk, err)) == 0) {
        for (uint32_t i = 0; i < chunk->n; i++)
            buf_add_str(&text, engine_str(&chunk->cols[1], i));
        *rows += chunk->n;
    }
    return rc < 0 ? rc : write_out(out, &text, err);
}

int output_result(FILE *out, struct engine_result *result, enum output_format format, unsigned width,
                  uint64_t *ret_rows, struct err *err)
{
    int rc = 0;

    *ret_rows = 0;
    switch (format) {
    case OUTPUT_JSON:
        rc = output_json(out, result, ret_rows, err);
        break;
    case OUTPUT_CSV:
        rc = output_csv(out, result, ret_rows, err);
        break;
    case OUTPUT_TABLE:
    case OUTPUT_LINES:
        rc = is_plan(result) ? output_plan(out, result, ret_rows, err)
                             : output_table(out, result, width, format == OUTPUT_LINES, ret_rows, err);
        break;
    }
    if (rc == 0 && fflush(out))
        rc = err_set_errno(err, "writing the result");
    return rc;
}
