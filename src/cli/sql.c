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

static int run_statement(struct shell *sh, struct str statement, struct err *err)
{
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    int64_t begin = clock_mono_us();
    uint64_t rows = 0;
    bool has_rows = false;

    running = session_conn(sh->session);
    int rc = session_run(sh->session, statement, &result, err);
    if (rc == 0) {
        has_rows = engine_result_has_rows(result);
        if (has_rows || sh->format != OUTPUT_TABLE)
            rc = has_rows ? output_result(stdout, result, sh->format, sh->width, &rows, err) : 0;
        else
            rows = engine_result_changed(result);
    }
    running = NULL;
    if (rc < 0 || !sh->timing)
        return rc;
    fprintf(stderr, "%llu row%s%s, %.1f ms\n", (unsigned long long)rows, rows == 1 ? "" : "s",
            has_rows ? "" : " changed", (double)(clock_mono_us() - begin) / 1000.0);
    return 0;
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
    fprintf(stderr, "sluice " SLUICE_VERSION ". Statements end with ;   \\q or Ctrl-D leaves.\n");
    while ((line = readline(text.n ? "    -> " : "sluice> "))) {
        struct str trimmed = str_trim(str_of(line));
        bool quit = !text.n && (str_is(trimmed, "\\q") || str_is(trimmed, "quit") || str_is(trimmed, "exit"));
        struct err err = {0};
        if (text.n)
            buf_add_char(&text, '\n');
        buf_add_cstr(&text, line);
        free(line);
        if (quit)
            break;
        if (!sql_is_complete(buf_str(&text)))
            continue;
        if (str_trim(buf_str(&text)).n) {
            add_history(text.p);
            if (path)
                write_history(path);
        }
        sh->width = terminal_width();
        if (run_script(sh, buf_str(&text), &err) < 0) {
            fprintf(stderr, "error: %s\n", err.msg);
            if (err.hint[0])
                fprintf(stderr, "hint: %s\n", err.hint);
        }
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

    if (o->sql && o->file)
        return err_set(err, ERR_USAGE, "-c and -f do not go together");
    if (o->sql)
        buf_add_cstr(&script, o->sql);
    else if (o->file && strcmp(o->file, "-") != 0)
        TRY(file_read(o->file, &script, err));
    else if (!prompt)
        TRY(read_stdin(&script, err));
    setlocale(LC_CTYPE, "C.UTF-8"); /* for the width of characters */
    TRY(engine_open(&engine_options, &engine, err));
    TRY(session_open(engine, n_args ? args[0] : NULL, &session, err));
    struct shell sh = {session, OUTPUT_TABLE, terminal_width(), o->timing || isatty(STDOUT_FILENO)};
    if (o->format && strcmp(o->format, "csv") == 0)
        sh.format = OUTPUT_CSV;
    else if (o->format && strcmp(o->format, "json") == 0)
        sh.format = OUTPUT_JSON;
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
    {"format", 0, CLI_CHOICE, offsetof(struct options, format), "table|csv|json",
     "how results are printed (table); json: one object a row and line"},
    {"memory", 0, CLI_SIZE, offsetof(struct options, memory), "SIZE",
     "about how much memory to use (80 % of the machine)"},
    {"threads", 0, CLI_NUMBER, offsetof(struct options, threads), "N", "threads (one a core)"},
    {"timing", 0, CLI_FLAG, offsetof(struct options, timing), NULL, "say rows and time of each statement"},
};

const struct command command_sql = {
    .name = "sql",
    .args = "[LAKE] [-c SQL | -f FILE] [--format table|csv|json]",
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
