/*
 * DuckDB's messages turned into our errors. It gives errors as text only where a statement is prepared ("Binder Error:
 * …\n\nLINE 1: …\n   ^"), so that the class is read from the text everywhere: one rule for all paths.
 */
#include "engine/internal.h"

static const struct {
    const char *prefix;
    int code;
    const char *sqlstate;
    bool keep; /* the prefix tells something that the rest does not */
} CLASSES[] = {
    {"Parser Error: ", ERR_USAGE, "42601", false},
    {"Syntax Error: ", ERR_USAGE, "42601", false},
    {"Binder Error: ", ERR_USAGE, "42000", false},
    {"Catalog Error: ", ERR_USAGE, "42P01", false},
    {"Conversion Error: ", ERR_USAGE, "22000", false},
    {"Out of Range Error: ", ERR_USAGE, "22003", false},
    {"Invalid Input Error: ", ERR_USAGE, "22023", false},
    {"Constraint Error: ", ERR_USAGE, "23000", false},
    {"Not implemented Error: ", ERR_USAGE, "0A000", true},
    {"Missing Extension Error: ", ERR_USAGE, "0A000", true},
    {"Extension Autoloading Error: ", ERR_USAGE, "0A000", true},
    {"Permission Error: ", ERR_USAGE, "42501", true},
    {"Settings Error: ", ERR_USAGE, "22023", true},
    {"Out of Memory Error: ", ERR_LIMIT, "53200", true},
    {"IO Error: ", ERR_IO, "58030", false},
    {"HTTP Error: ", ERR_NET, "08000", true},
    {"Connection Error: ", ERR_NET, "08000", true},
    {"INTERRUPT Error: ", ERR_CANCELLED, "57014", false},
    {"INTERNAL Error: ", ERR_INTERNAL, "XX000", true},
    {"FATAL Error: ", ERR_INTERNAL, "XX000", true},
    {"Serialization Error: ", ERR_INTERNAL, "XX000", true},
    {"TransactionContext Error: ", ERR_CONFLICT, "40001", true},
    {"Transaction Error: ", ERR_CONFLICT, "40001", true},
};

/* The lines between the message and "LINE n:" are advice ("Did you mean …", "Candidate bindings: …"). */
static void set_hint(struct err *err, const char *rest)
{
    CLEANUP(buf_deinit) struct buf hint = {.max = sizeof err->hint};
    struct str s = str_of(rest);

    while (s.p) {
        struct str line = str_trim(str_split(&s, '\n'));
        if (str_has_prefix(line, STR("LINE ")))
            break;
        if (!line.n || memmem(line.p, line.n, "\"__", 3)) /* advice to use a column of ours */
            continue;
        if (hint.n)
            buf_add_char(&hint, ' ');
        buf_add_str(&hint, line);
    }
    if (hint.n)
        err_hint(err, "%.*s", STR_ARG(buf_str(&hint)));
}

int engine_error(struct err *err, const char *message)
{
    int code = ERR_USAGE;
    const char *sqlstate = "XX000";
    struct str s = str_of(message ? message : "INTERNAL Error: DuckDB failed without a message");

    for (size_t i = 0; i < ARRAY_LEN(CLASSES); i++) {
        struct str prefix = str_of(CLASSES[i].prefix);
        if (!str_has_prefix(s, prefix))
            continue;
        code = CLASSES[i].code;
        sqlstate = CLASSES[i].sqlstate;
        if (!CLASSES[i].keep)
            s = str_make(s.p + prefix.n, s.n - prefix.n);
        break;
    }
    const char *end = memchr(s.p, '\n', s.n);
    struct str first = end ? str_make(s.p, (size_t)(end - s.p)) : s;
    err_set(err, code, "%.*s", STR_ARG(first));
    if (!err)
        return code;
    memcpy(err->sqlstate, sqlstate, 6);
    if (end)
        set_hint(err, end + 1);
    if (code == ERR_LIMIT) /* what the engine proposes are settings that nobody can reach */
        err_hint(err, "allow more memory: --memory");
    if (code == ERR_IO && memmem(s.p, s.n, "No space left", 13))
        err_hint(err, "the disk is full: free some space and try again");
    return code;
}
