/* Messages out of a file. The three forms are told apart by the first byte: '{', a hex digit, or the 0 of a length. */
#include "cli/debug.h"

#include "base/mem.h"
#include "model/position.h"

#include <ctype.h>
#include <stdlib.h>
#include <yyjson.h>

enum { MESSAGE_MAX = 1 << 30 };

void debug_input_deinit(struct debug_input *i)
{
    free(i->line); /* getline's */
    mem_free(i->bytes);
    *i = (struct debug_input){0};
}

static int broken(const struct debug_input *i, const char *what, struct err *err)
{
    return err_set(err, ERR_INPUT, "message %llu: %s", (unsigned long long)i->n, what);
}

static char *room(struct debug_input *i, size_t n)
{
    if (n > i->cap) {
        i->cap = n * 2;
        i->bytes = mem_realloc(i->bytes, i->cap);
    }
    return i->bytes;
}

static int digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int from_hex(struct debug_input *i, struct str hex, struct str *ret, struct err *err)
{
    char *out = room(i, hex.n / 2 + 1);

    if (hex.n >= 2 && hex.p[0] == '\\' && hex.p[1] == 'x')
        hex = str_make(hex.p + 2, hex.n - 2);
    if (hex.n % 2)
        return broken(i, "an odd number of hex digits", err);
    for (size_t k = 0; k < hex.n; k += 2) {
        int hi = digit(hex.p[k]), lo = digit(hex.p[k + 1]);
        if (hi < 0 || lo < 0)
            return broken(i, "not hexadecimal", err);
        out[k / 2] = (char)(hi << 4 | lo);
    }
    *ret = str_make(out, hex.n / 2);
    return 0;
}

static int from_json(struct debug_input *i, struct str line, uint64_t *ret_lsn, struct str *ret, struct err *err)
{
    yyjson_doc *doc = yyjson_read(line.p, line.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc), *data = yyjson_obj_get(root, "data");
    yyjson_val *lsn = yyjson_obj_get(root, "lsn");
    int rc;

    if (yyjson_is_str(lsn) && !lsn_parse(str_of(yyjson_get_str(lsn)), ret_lsn))
        rc = broken(i, "\"lsn\" is none", err);
    else if (!yyjson_is_str(data))
        rc = broken(i, "not a JSON object with \"data\" in hexadecimal", err);
    else
        rc = from_hex(i, str_make(yyjson_get_str(data), yyjson_get_len(data)), ret, err);
    yyjson_doc_free(doc);
    return rc;
}

static int next_raw(struct debug_input *i, struct str *ret, struct err *err)
{
    uint8_t head[4];
    size_t got = fread(head, 1, sizeof head, i->in);

    if (got == 0)
        return ferror(i->in) ? err_set_errno(err, "reading the input") : 1;
    i->n++;
    if (got < sizeof head)
        return broken(i, "cut short", err);
    uint32_t n = (uint32_t)head[0] << 24 | (uint32_t)head[1] << 16 | (uint32_t)head[2] << 8 | head[3];
    if (n > MESSAGE_MAX)
        return broken(i, "longer than PostgreSQL sends", err);
    if (fread(room(i, n + 1u), 1, n, i->in) != n)
        return broken(i, "cut short", err);
    *ret = str_make(i->bytes, n);
    return 0;
}

int debug_input_next(struct debug_input *i, uint64_t *ret_lsn, struct str *ret, struct err *err)
{
    *ret_lsn = 0;
    if (!i->form) {
        int c = getc(i->in);
        i->form = c == '{' ? '{' : c == EOF || isxdigit(c) || isspace(c) || c == '\\' ? 'x' : 'r';
        if (c != EOF)
            ungetc(c, i->in);
    }
    if (i->form == 'r')
        return next_raw(i, ret, err);
    for (;;) {
        ssize_t n = getline(&i->line, &i->line_cap, i->in);
        if (n < 0)
            return ferror(i->in) ? err_set_errno(err, "reading the input") : 1;
        i->n++;
        struct str line = str_trim(str_make(i->line, (size_t)n));
        if (line.n)
            return i->form == '{' ? from_json(i, line, ret_lsn, ret, err) : from_hex(i, line, ret, err);
    }
}
