/*
 * sluice sql: statements over a lake, from -c, a file, standard input or a prompt.
 *
 * Results go to standard output, everything else to standard error, so that output can be piped. Without a prompt the
 * first failing statement ends the run.
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/output.h"
#include "server/session.h"
#include "sql/lexer.h"

#include <editline/readline.h>
#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct options {
    const char *sql, *file, *format;
    uint64_t memory, threads;
    bool timing;
};

struct shell {
    struct session *session;
    enum output_format format;
    unsigned width; /* of the terminal; 0: no terminal */
    bool timing;
};

static struct engine_conn *volatile running; /* what Ctrl-C stops */

static void on_interrupt(int sig)
{
    (void)sig;
    if (running)
        engine_interrupt(running); /* sets an atomic flag, no more. NOLINT(bugprone-signal-handler) */
}

static unsigned terminal_width(void)
{
    struct winsize size;

    if (!isatty(STDOUT_FILENO) || ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0)
        return 0;
    return size.ws_col;
}

/* Prints what a statement gave; *ret_rows: printed, or changed. */
static int show(struct shell *sh, struct engine_result *result, uint64_t *ret_rows, const char **ret_what,
                struct err *err)
{
    const char *word = session_word(sh->session);

    *ret_what = " changed";
    if (!word && engine_result_has_rows(result)) {
        *ret_what = "";
        return output_result(stdout, result, sh->format, sh->width, ret_rows, err);
    }
    if (word && (sh->format == OUTPUT_TABLE || sh->format == OUTPUT_LINES))
        printf("%s\n", word);
    *ret_rows = word ? 0 : engine_result_changed(result);
    return 0;
}

static int run_statement(struct shell *sh, struct str statement, struct err *err)
{
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    int64_t begin = clock_mono_us();
    const char *what = "";
    uint64_t rows = 0;

    running = session_conn(sh->session);
    int rc = session_run(sh->session, statement, &result, err);
    if (rc == 0)
        rc = show(sh, result, &rows, &what, err);
    running = NULL;
    if (rc == 0 && sh->timing)
        fprintf(stderr, "%llu row%s%s, %.1f ms\n", (unsigned long long)rows, rows == 1 ? "" : "s", what,
                (double)(clock_mono_us() - begin) / 1000.0);
    return rc;
}

static int run_script(struct shell *sh, struct str script, struct err *err)
{
    size_t cursor = 0;
    struct str statement;
    int rc;

    while ((rc = sql_split(script, &cursor, &statement, NULL, err)) == 0)
        TRY(run_statement(sh, statement, err));
    if (rc < 0)
        err->code = ERR_USAGE; /* what the user typed */
    return rc < 0 ? ERR_USAGE : 0;
}

static int read_stdin(struct buf *out, struct err *err)
{
    char part[1 << 16];
    ssize_t n;

    while ((n = read(STDIN_FILENO, part, sizeof part)) > 0)
        buf_add(out, part, (size_t)n);
    return n < 0 ? err_set_errno(err, "reading standard input") : 0;
}

static char *history_path(void)
{
    const char *home = getenv("HOME");

    return home ? mem_printf("%s/.sluice_history", home) : NULL;
}

static void show_error(const struct err *err)
{
    fprintf(stderr, "error: %s\n", err->msg);
    if (err->hint[0])
        fprintf(stderr, "hint: %s\n", err->hint);
}

static const char PROMPT_HELP[] =
    "  \\d             tables of the lake          \\d orders    columns of a table\n"
    "  \\x             a line for each value, or tables again\n"
    "  \\q             leave (or Ctrl-D)           Ctrl-C       stop a statement\n\n"
    "  Anything else is SQL, up to its ;\n"
    "  SELECT * FROM orders VERSION AS OF 3 LIMIT 10;    DESCRIBE HISTORY orders;    OPTIMIZE orders;\n"
    "  `sluice sql --help` has more, and README all of it.\n";

/* What is for the prompt and not SQL, as psql has it. */
static void prompt_command(struct shell *sh, struct str line)
{
    CLEANUP(buf_deinit) struct buf sql = {0};
    struct err err = {0};

    if (str_is(line, "\\x")) {
        sh->format = sh->format == OUTPUT_LINES ? OUTPUT_TABLE : OUTPUT_LINES;
        fprintf(stderr, "%s\n", sh->format == OUTPUT_LINES ? "a line for each value" : "tables");
        return;
    }
    if (str_is(line, "\\d") || str_is(line, "\\dt"))
        buf_add_cstr(&sql, "SHOW TABLES");
    else if (str_has_prefix(line, STR("\\d ")))
        buf_printf(&sql, "DESCRIBE %.*s", (int)line.n - 3, line.p + 3);
    else if (line.p[0] == '\\' && !str_is(line, "\\?") && !str_is(line, "\\h"))
        fprintf(stderr, "error: the prompt has no command %.*s\n", STR_ARG(line));
    if (!sql.n)
        fputs(PROMPT_HELP, stderr);
    else if (run_script(sh, buf_str(&sql), &err) < 0)
        show_error(&err);
}

static bool is_word(struct str line, const char *word)
{
    if (line.n && line.p[line.n - 1] == ';')
        line.n--;
    return str_eq_nocase(line, str_of(word));
}

static bool is_quit(struct str line)
{
    return is_word(line, "\\q") || is_word(line, "quit") || is_word(line, "exit");
}

/* Runs what was typed, a whole statement or a command. */
static void run_typed(struct shell *sh, struct str text, bool is_command)
{
    struct err err = {0};

    sh->width = terminal_width();
    if (is_command)
        prompt_command(sh, text);
    else if (run_script(sh, text, &err) < 0)
        show_error(&err);
}

/* A prompt: statements may take several lines, up to their `;`. Errors are shown, and it goes on. */
static int interact(struct shell *sh)
{
    CLEANUP(mem_freep) char *path = history_path();
    CLEANUP(buf_deinit) struct buf text = {0};
    char *line;

    using_history();
    if (path)
        read_history(path);
    stifle_history(2000);
    fprintf(stderr, "sluice " SLUICE_VERSION ". Statements end with ;   \\? is help   \\q or Ctrl-D leaves.\n");
    while ((line = readline(text.n ? "    -> " : "sluice> "))) {
        if (text.n)
            buf_add_char(&text, '\n');
        buf_add_str(&text, text.n ? str_of(line) : str_trim(str_of(line)));
        free(line);
        struct str typed = buf_str(&text);
        bool is_command = typed.n && (typed.p[0] == '\\' || is_word(typed, "help"));
        if (is_quit(typed))
            break;
        if (!is_command && !sql_is_complete(typed))
            continue;
        if (typed.n) {
            add_history(text.p);
            if (path)
                write_history(path);
        }
        run_typed(sh, typed, is_command);
        buf_reset(&text);
    }
    return 0;
}

/* DuckDB's part of the process's memory: what it does not count (its code, our snapshots and vectors) has 64 MB of it. */
static uint64_t engine_memory(uint64_t whole)
{
    const uint64_t ours = (uint64_t)64 << 20;

    return whole > 2 * ours ? whole - ours : whole / 2;
}

static int run(void *opaque, char **args, uint32_t n_args, struct err *err)
{
    const struct options *o = opaque;
    CLEANUP(engine_freep) struct engine *engine = NULL;
    CLEANUP(session_freep) struct session *session = NULL;
    CLEANUP(buf_deinit) struct buf script = {0};
    const char *tmp = getenv("TMPDIR");
    CLEANUP(mem_freep) char *temp_dir = mem_printf("%s/sluice-%ld", tmp ? tmp : "/tmp", (long)getpid());
    struct engine_options engine_options = {engine_memory(o->memory), (unsigned)o->threads, temp_dir, NULL};
    bool prompt = !o->sql && !o->file && isatty(STDIN_FILENO);
    const char *lake = NULL;

    if (o->sql && o->file)
        return err_set(err, ERR_USAGE, "-c and -f do not go together");
    if (o->sql)
        buf_add_cstr(&script, o->sql);
    else if (o->file && strcmp(o->file, "-") != 0)
        TRY(file_read(o->file, &script, err));
    else if (!prompt)
        TRY(read_stdin(&script, err));
    setlocale(LC_CTYPE, "C.UTF-8"); /* for the width of characters */
    if (n_args)
        TRY(cli_folder(args[0], &lake, err));
    TRY(engine_open(&engine_options, &engine, err));
    TRY(session_open(engine, lake, &session, err));
    struct shell sh = {session, OUTPUT_TABLE, terminal_width(), o->timing || isatty(STDOUT_FILENO)};
    if (o->format && strcmp(o->format, "csv") == 0)
        sh.format = OUTPUT_CSV;
    else if (o->format && strcmp(o->format, "json") == 0)
        sh.format = OUTPUT_JSON;
    else if (o->format && strcmp(o->format, "lines") == 0)
        sh.format = OUTPUT_LINES;
    signal(SIGINT, on_interrupt);
    int rc = prompt ? interact(&sh) : run_script(&sh, buf_str(&script), err);
    session_freep(&session);
    engine_freep(&engine);
    struct err ignored;
    if (file_remove_tree(temp_dir, &ignored) < 0)
        (void)ignored;
    return rc;
}

static const struct cli_option OPTIONS[] = {
    {"command", 'c', CLI_TEXT, offsetof(struct options, sql), "SQL", "statements to run"},
    {"file", 'f', CLI_TEXT, offsetof(struct options, file), "FILE", "a file of statements; - is standard input"},
    {"format", 0, CLI_CHOICE, offsetof(struct options, format), "table|csv|json|lines",
     "how results are printed (table); json: one object a row and line; lines: a line for each value"},
    {"memory", 0, CLI_SIZE, offsetof(struct options, memory), "SIZE",
     "about how much memory to use (80 % of the machine)"},
    {"threads", 0, CLI_NUMBER, offsetof(struct options, threads), "N", "threads (one a core)"},
    {"timing", 0, CLI_FLAG, offsetof(struct options, timing), NULL, "say rows and time of each statement"},
};

const struct command command_sql = {
    .name = "sql",
    .args = "[LAKE] [-c SQL | -f FILE] [--format table|csv|json|lines]",
    .summary = "run SQL over the tables of a lake, or over one table",
    .details =
        "LAKE is a folder of <schema>/<table>, or one Delta table. Without -c and -f, statements come from standard\n"
        "input, or from a prompt.\n\n"
        "  orders, public.orders                      a table of the lake\n"
        "  delta.`/path`, delta_scan('/path')         any table, by its path\n"
        "  orders AT (VERSION => 3)                   as it was; also VERSION AS OF 3,\n"
        "  orders AT (TIMESTAMP => '2026-11-23 10:00')  TIMESTAMP AS OF '…'\n"
        "  SHOW TABLES, DESCRIBE orders               what there is\n"
        "  DESCRIBE HISTORY orders, DESCRIBE DETAIL orders, SHOW TBLPROPERTIES orders\n\n"
        "Queries are DuckDB's SQL. Tables are made and changed by Delta's own, each statement one commit:\n\n"
        "  CREATE TABLE, INSERT INTO, UPDATE, DELETE FROM, MERGE INTO, ALTER TABLE, OPTIMIZE … ZORDER BY, VACUUM,\n"
        "  RESTORE, SHALLOW CLONE, CONVERT TO DELTA, REORG, DROP TABLE; README has each with its clauses\n\n"
        "examples\n"
        "  sluice sql /data/lake -c \"SELECT count(*) FROM orders\"\n"
        "  sluice sql /data/lake --format json -c \"FROM public.orders LIMIT 10\"\n"
        "  sluice sql /data/lake -c \"DELETE FROM orders WHERE status = 'test'\"\n"
        "  sluice sql -c \"COPY (FROM delta_scan('/data/lake/public/orders')) TO 'orders.csv'\"\n",
    CLI_OPTIONS(OPTIONS),
    .options_size = sizeof(struct options),
    .max_args = 1,
    .run = run,
};
