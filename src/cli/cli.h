/*
 * Commands: a table of them, one file each, and the parser of their options.
 *
 * A command is a `struct command` with a run function that gets its options parsed into a struct of its own and the
 * other arguments in order. Errors are returned; main prints them and turns the code into the exit status.
 */
#ifndef SLUICE_CLI_CLI_H
#define SLUICE_CLI_CLI_H

#include "base/err.h"
#include "base/str.h"

enum cli_kind {
    CLI_FLAG,   /* bool: no value */
    CLI_TEXT,   /* const char * */
    CLI_NUMBER, /* uint64_t: a whole number */
    CLI_SIZE,   /* uint64_t: bytes; 64MB, 2GiB */
    CLI_MS,     /* uint64_t: milliseconds; 500ms, 2s, 5min, 1h */
    CLI_CHOICE, /* const char *: one of `arg`, "table|csv|json" */
};

struct cli_option {
    const char *name; /* "format" for --format */
    char letter;      /* 'f' for -f; 0: none */
    enum cli_kind kind;
    size_t offset;    /* of the field in the command's options struct */
    const char *arg;  /* placeholder for the help: "FILE" */
    const char *help; /* one line */
};

struct command {
    const char *name;
    const char *args;    /* "[LAKE] [-c SQL]…" */
    const char *summary; /* one line for the list */
    const char *details; /* text below the usage: what it does, examples; may be NULL */
    const struct cli_option *options;
    uint32_t n_options;
    uint32_t options_size;       /* of the options struct, which starts zeroed */
    uint32_t min_args, max_args; /* arguments that are no options */
    int (*run)(void *options, char **args, uint32_t n_args, struct err *err);
};

#define CLI_OPTIONS(array) .options = (array), .n_options = ARRAY_LEN(array)

/*
 * Parses argv (without the command's name) into `options` (of options_size bytes) and moves the other arguments to the
 * front of argv. `--` ends the options. ERR_USAGE names what is wrong and hints at what was meant. `--help` sets
 * *ret_help.
 */
int cli_parse(const struct command *command, char **argv, uint32_t argc, void *options, uint32_t *ret_n_args,
              bool *ret_help, struct err *err) MUST_CHECK;
void cli_help(const struct command *command); /* on standard output */
/* The manual page of all commands, on standard output. */
void cli_man(const struct command *const *commands, size_t n);
#define CLI_EXIT_CODES "0 done, 1 a check found a difference, 2 usage, 3 refused by a peer or the system, 4 internal"
/* The name among `names` that is closest to `word`, or NULL when none is close. */
const char *cli_closest(const char *word, const char *const *names, uint32_t n);

bool cli_ms(const char *text, uint64_t *ret);
/* "a, b" → what stands between the commas. NULL gives none. The array is the caller's (mem_free), the items are borrowed. */
struct str *cli_list(const char *text, size_t *ret_n);
/* The folder that an argument means (store_local_root); borrows from it. ERR_USAGE: the URL of something else. */
int cli_folder(const char *text, const char **ret, struct err *err) MUST_CHECK;

extern const struct command command_debug, command_sql, command_status, command_sync, command_verify;

#endif
