/* Options: --name VALUE, --name=VALUE, -n VALUE, -nVALUE, flags without value; help made out of the same table. */
#include "cli/cli.h"

#include "base/mem.h"
#include "base/str.h"
#include "store/store.h"

#include <stdio.h>

/* Levenshtein's distance of two short words. */
static unsigned distance(const char *a, const char *b)
{
    unsigned row[64];
    size_t n = strlen(b);

    if (n >= ARRAY_LEN(row))
        return 99;
    for (size_t j = 0; j <= n; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; *a; a++, i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= n; j++) {
            unsigned change = diagonal + (*a != b[j - 1]);
            diagonal = row[j];
            row[j] = MIN(MIN(row[j], row[j - 1]) + 1, change);
        }
    }
    return row[n];
}

const char *cli_closest(const char *word, const char *const *names, uint32_t n)
{
    const char *best = NULL;
    unsigned best_d = 3;

    for (uint32_t i = 0; i < n; i++) {
        unsigned d = distance(word, names[i]);
        if (strlen(word) >= 2 && strncmp(word, names[i], strlen(word)) == 0)
            d = 1;
        if (d < best_d) {
            best_d = d;
            best = names[i];
        }
    }
    return best;
}

struct unit {
    const char *name;
    uint64_t factor;
};

static bool with_unit(const char *text, const struct unit *units, size_t n, uint64_t *ret)
{
    size_t digits = strspn(text, "0123456789");
    uint64_t v;

    if (!str_to_u64(str_make(text, digits), &v))
        return false;
    for (size_t i = 0; i < n; i++)
        if (str_eq_nocase(str_of(text + digits), str_of(units[i].name)))
            return !__builtin_mul_overflow(v, units[i].factor, ret);
    return false;
}

/* "64MB" → bytes, "2s" → ms; false when it is neither. */
static bool read_size(const char *text, uint64_t *ret)
{
    static const struct unit units[] = {
        {"", 1},
        {"b", 1},
        {"kb", 1000},
        {"mb", 1000000},
        {"gb", 1000000000},
        {"k", 1 << 10},
        {"m", 1 << 20},
        {"g", 1 << 30},
        {"kib", 1 << 10},
        {"mib", 1 << 20},
        {"gib", 1 << 30},
        {"tb", 1000000000000},
        {"tib", 1ULL << 40},
    };

    return with_unit(text, units, ARRAY_LEN(units), ret);
}

bool cli_ms(const char *text, uint64_t *ret)
{
    static const struct unit units[] = {{"ms", 1}, {"s", 1000}, {"min", 60000}, {"h", 3600000}, {"d", 86400000}};

    return with_unit(text, units, ARRAY_LEN(units), ret);
}

struct str *cli_list(const char *text, size_t *ret_n)
{
    struct str rest = str_of(text), *items = NULL;
    size_t n = 0, cap = 0;

    while (rest.p) {
        struct str item = str_trim(str_split(&rest, ','));
        if (!item.n)
            continue;
        MEM_GROW(items, n, cap);
        items[n++] = item;
    }
    *ret_n = n;
    return items;
}

int cli_folder(const char *text, const char **ret, struct err *err)
{
    struct str folder;

    TRY(store_local_root(str_of(text), &folder, err));
    *ret = folder.p; /* the end of `text`, as is its 0 */
    return 0;
}

static bool is_choice(const char *choices, const char *value)
{
    struct str rest = str_of(choices);

    while (rest.p)
        if (str_is(str_split(&rest, '|'), value))
            return true;
    return false;
}

static int set_value(const struct cli_option *o, void *options, const char *value, struct err *err)
{
    char *to = (char *)options + o->offset;
    uint64_t n = 0;
    bool ok = true;

    switch (o->kind) {
    case CLI_FLAG:
        *(bool *)to = true;
        return 0;
    case CLI_TEXT:
        memcpy(to, &value, sizeof value);
        return 0;
    case CLI_CHOICE:
        if (!is_choice(o->arg, value)) {
            err_set(err, ERR_USAGE, "--%s cannot be \"%s\"", o->name, value);
            return err_hint(err, "choose one of %s", o->arg);
        }
        memcpy(to, &value, sizeof value);
        return 0;
    case CLI_NUMBER:
        ok = str_to_u64(str_of(value), &n);
        break;
    case CLI_SIZE:
        ok = read_size(value, &n);
        break;
    case CLI_MS:
        ok = cli_ms(value, &n);
        break;
    }
    if (!ok) {
        err_set(err, ERR_USAGE, "--%s cannot be \"%s\"", o->name, value);
        return err_hint(err, "%s",
                        o->kind == CLI_SIZE ? "give a size, such as 64MB or 2GiB"
                        : o->kind == CLI_MS ? "give a time with its unit, such as 500ms, 2s, 5min"
                                            : "give a whole number");
    }
    memcpy(to, &n, sizeof n);
    return 0;
}

static int unknown_option(const struct command *c, const char *arg, struct str name, struct err *err)
{
    const char *names[32];
    CLEANUP(mem_freep) char *word = mem_strndup(name.p, name.n);

    for (uint32_t i = 0; i < c->n_options && i < ARRAY_LEN(names); i++)
        names[i] = c->options[i].name;
    const char *close = cli_closest(word, names, MIN(c->n_options, ARRAY_LEN(names)));
    err_set(err, ERR_USAGE, "there is no option %s", arg);
    if (close)
        return err_hint(err, "did you mean --%s?", close);
    return err_hint(err, "see sluice help %s", c->name);
}

/* One option at argv[*i]; its value may be the next argument. */
static int parse_option(const struct command *c, char **argv, uint32_t argc, uint32_t *i, void *options,
                        struct err *err)
{
    const char *arg = argv[*i], *value = NULL;
    bool is_long = arg[1] == '-';
    struct str rest = str_of(arg + 2), name = is_long ? str_split(&rest, '=') : str_make(arg + 1, 1);
    const struct cli_option *o = NULL;

    for (uint32_t k = 0; k < c->n_options; k++)
        if (is_long ? str_is(name, c->options[k].name) : c->options[k].letter == arg[1])
            o = &c->options[k];
    if (!o)
        return unknown_option(c, arg, name, err);
    if (is_long)
        value = rest.p;
    else if (arg[2])
        value = arg + 2;
    if (o->kind == CLI_FLAG) {
        if (value)
            return err_set(err, ERR_USAGE, "%s takes no value", arg);
        return set_value(o, options, NULL, err);
    }
    if (!value) {
        if (*i + 1 >= argc)
            return err_set(err, ERR_USAGE, "%s wants a value: %s", arg, o->arg);
        value = argv[++*i];
    }
    return set_value(o, options, value, err);
}

int cli_parse(const struct command *c, char **argv, uint32_t argc, void *options, uint32_t *ret_n_args, bool *ret_help,
              struct err *err)
{
    uint32_t n = 0;
    bool only_args = false;

    for (uint32_t i = 0; i < argc; i++) {
        if (only_args || argv[i][0] != '-' || !argv[i][1]) {
            argv[n++] = argv[i];
        } else if (strcmp(argv[i], "--") == 0) {
            only_args = true;
        } else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            *ret_help = true;
            return 0;
        } else {
            TRY(parse_option(c, argv, argc, &i, options, err));
        }
    }
    if (n < c->min_args || n > c->max_args) {
        err_set(err, ERR_USAGE, n < c->min_args ? "an argument is missing" : "there is an argument too many: %s",
                n < c->min_args ? "" : argv[c->max_args]);
        return err_hint(err, "usage: sluice %s %s", c->name, c->args);
    }
    *ret_n_args = n;
    return 0;
}

enum { HELP_LEFT = 33, HELP_RIGHT = 80 }; /* columns of an option's name and of its text */

/* The text in lines of HELP_RIGHT columns, the first of which stands where the cursor is. */
static void print_wrapped(const char *text)
{
    while (strlen(text) > HELP_RIGHT) {
        int n = HELP_RIGHT;
        while (n > 0 && text[n] != ' ')
            n--;
        if (n == 0)
            break;
        printf("%.*s\n%*s", n, text, HELP_LEFT, "");
        text += n + 1;
    }
    printf("%s\n", text);
}

void cli_help(const struct command *c)
{
    printf("usage: sluice %s %s\n\n%s\n", c->name, c->args, c->summary);
    if (c->n_options)
        printf("\noptions\n");
    for (uint32_t i = 0; i < c->n_options; i++) {
        const struct cli_option *o = &c->options[i];
        char letter[8] = "    ", left[64];
        if (o->letter)
            snprintf(letter, sizeof letter, "-%c, ", o->letter);
        snprintf(left, sizeof left, "%s--%s %s", letter, o->name, o->arg ? o->arg : "");
        printf("  %-*s ", HELP_LEFT - 3, left);
        print_wrapped(o->help);
    }
    if (c->details)
        printf("\n%s", c->details);
}
