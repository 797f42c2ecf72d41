/* The command line: finds the command, runs it, turns its error into a message and an exit code. */
#include "base/mem.h"
#include "cli/cli.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const struct command *const COMMANDS[] = {
    &command_sync, &command_status, &command_verify, &command_sql, &command_debug,
};

static const struct command *find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(COMMANDS); i++)
        if (strcmp(COMMANDS[i]->name, name) == 0)
            return COMMANDS[i];
    return NULL;
}

static void print_help(void)
{
    puts("sluice " SLUICE_VERSION ": PostgreSQL changes as Delta Lake tables\n\nusage: sluice COMMAND …\n\ncommands");
    for (size_t i = 0; i < ARRAY_LEN(COMMANDS); i++)
        printf("  %-10s %s\n", COMMANDS[i]->name, COMMANDS[i]->summary);
    puts("\nsluice help COMMAND says more about one. --version prints the version.\n"
         "exit codes: " CLI_EXIT_CODES);
}

/* "sluice sql: there is no table x" and a line with the hint. */
static int fail(const char *command, const struct err *err)
{
    bool color = isatty(STDERR_FILENO);

    fprintf(stderr, "%ssluice%s%s: %s%s\n", color ? "\033[31m" : "", command ? " " : "", command ? command : "",
            color ? "\033[0m" : "", err->msg);
    if (err->hint[0])
        fprintf(stderr, "hint: %s\n", err->hint);
    return err_exit_code(err->code);
}

static int no_command(const char *name)
{
    struct err err = {0};
    const char *names[ARRAY_LEN(COMMANDS)];

    for (size_t i = 0; i < ARRAY_LEN(COMMANDS); i++)
        names[i] = COMMANDS[i]->name;
    const char *close = cli_closest(name, names, ARRAY_LEN(names));
    err_set(&err, ERR_USAGE, name[0] == '-' ? "there is no option %s" : "there is no command \"%s\"", name);
    if (close)
        err_hint(&err, "did you mean %s?", close);
    else
        err_hint(&err, "sluice --help lists the commands");
    return fail(NULL, &err);
}

static int run(const struct command *command, char **argv, uint32_t argc)
{
    CLEANUP(mem_freep) void *options = mem_alloc(command->options_size + 1);
    struct err err = {0};
    uint32_t n_args = 0;
    bool help = false;

    int rc = cli_parse(command, argv, argc, options, &n_args, &help, &err);
    if (rc == 0 && help) {
        cli_help(command);
        return 0;
    }
    if (rc == 0)
        rc = command->run(options, argv, n_args, &err);
    return rc < 0 ? fail(command->name, &err) : 0;
}

/* A file is open for each table that sync follows, and for many at once that a query reads: as many as the system lets us. */
static void raise_file_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)!setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int argc, char **argv)
{
    mem_tune();
    raise_file_limit();
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error of the write, not of the process */
    if (argc < 2) {
        print_help();
        return 2;
    }
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0 || strcmp(name, "version") == 0) {
        puts("sluice " SLUICE_VERSION);
        return 0;
    }
    bool help = strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0;
    if (help && argc == 2) {
        print_help();
        return 0;
    }
    if (help)
        name = argv[2];
    if (help && strcmp(name, "--man") == 0) {
        cli_man(COMMANDS, ARRAY_LEN(COMMANDS));
        return 0;
    }
    const struct command *command = find(name);
    if (!command)
        return no_command(name);
    if (help) {
        cli_help(command);
        return 0;
    }
    return run(command, argv + 2, (uint32_t)(argc - 2));
}
