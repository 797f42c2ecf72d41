/* sluice sync */
#include "base/log.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "pipeline/sync.h"
#include "source/pg_conn.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { MEMORY_MIN = 128000000 };

struct options {
    const char *tables, *exclude, *columns, *exclude_columns, *resync, *state, *slot, *publication, *epoch, *history,
        *copy_on_write, *change_feed, *partition_by;
    uint64_t memory, spool_quota, sessions, chunk;
    bool once, upgraded, no_compaction, no_heartbeat, binary, debug;
};

#define AT(field) offsetof(struct options, field)
static const struct cli_option OPTIONS[] = {
    {"tables", 't', CLI_TEXT, AT(tables), "PATTERNS", "follow only these: 'public.*,sales.order_?' (all of them)"},
    {"exclude", 0, CLI_TEXT, AT(exclude), "PATTERNS", "tables to leave out"},
    {"columns", 0, CLI_TEXT, AT(columns), "PATTERNS",
     "columns to take, schema.table.column; only restricts tables named"},
    {"exclude-columns", 0, CLI_TEXT, AT(exclude_columns), "PATTERNS", "columns to leave out, schema.table.column"},
    {"once", 0, CLI_FLAG, AT(once), NULL,
     "stop when caught up with where the source was at the start; 3 when tables are set aside"},
    {"epoch", 0, CLI_TEXT, AT(epoch), "TIME",
     "time between two commits of a busy table (500ms); 0: one for each transaction"},
    {"resync", 0, CLI_TEXT, AT(resync), "PATTERNS", "copy these anew; readers see the old rows until it is done"},
    {"history", 0, CLI_TEXT, AT(history), "WHERE",
     "beside: each change is a row of <table>__history too: its columns, __op, __commit_ts, __lsn, __ordinal,"
     " __unchanged. only: <table> itself holds the changes, not the current state (none)"},
    {"upgraded", 0, CLI_FLAG, AT(upgraded), NULL,
     "the source is now what pg_upgrade made of it, with its slot (out of 17 or newer): go on there"},
    {"state", 0, CLI_TEXT, AT(state), "DIR", "where sluice keeps its log and notes (LAKE/_sluice)"},
    {"slot", 0, CLI_TEXT, AT(slot), "NAME", "replication slot (sluice_ and a hash of the lake's path)"},
    {"publication", 0, CLI_TEXT, AT(publication), "NAME", "publication, made or extended as needed (the slot's name)"},
    {"memory", 0, CLI_SIZE, AT(memory), "SIZE", "about how much memory to use (256MB), at least 128MB"},
    {"spool-quota", 0, CLI_SIZE, AT(spool_quota), "SIZE", "most disk for changes not in the lake yet (no limit)"},
    {"sessions", 0, CLI_NUMBER, AT(sessions), "N", "connections that read the first copy in parallel (2)"},
    {"chunk", 0, CLI_NUMBER, AT(chunk), "PAGES",
     "size of a piece of the first copy, in pages of 8 kB (8192 to 65536, by the table's size)"},
    {"copy-on-write", 0, CLI_TEXT, AT(copy_on_write), "PATTERNS",
     "tables without deletion vectors ('*.*': all), for readers that do not know them; files are rewritten instead"},
    {"change-feed", 0, CLI_TEXT, AT(change_feed), "PATTERNS",
     "tables with Delta's change data feed ('*.*': all); a table that has one keeps it"},
    {"partition-by", 0, CLI_TEXT, AT(partition_by), "PATTERNS",
     "columns that new tables are partitioned by, schema.table.column; those that exist keep theirs until --resync"},
    {"no-compaction", 0, CLI_FLAG, AT(no_compaction), NULL, "leave small files as they are"},
    {"no-heartbeat", 0, CLI_FLAG, AT(no_heartbeat), NULL, "no logical message every 10 s in the source's WAL"},
    {"binary", 0, CLI_FLAG, AT(binary), NULL, "ask for values in binary form"},
    {"debug", 0, CLI_FLAG, AT(debug), NULL, "log more"},
};

static int read_epoch(const char *text, int64_t *ret_us, struct err *err)
{
    uint64_t ms = 0;

    if (!text)
        return 0;
    if (strcmp(text, "0") != 0 && (!cli_ms(text, &ms) || ms > (uint64_t)24 * 3600 * 1000)) {
        err_set(err, ERR_USAGE, "--epoch cannot be \"%s\"", text);
        return err_hint(err, "give a time with its unit, such as 500ms, 2s, 5min, or 0");
    }
    *ret_us = (int64_t)ms * 1000;
    return 0;
}

static int read_history(const char *text, enum lake_changes *ret, struct err *err)
{
    static const char *const names[] = {"none", "beside", "only"};

    for (size_t i = 0; text && i < ARRAY_LEN(names); i++)
        if (strcmp(text, names[i]) == 0) {
            *ret = (enum lake_changes)i;
            return 0;
        }
    return text ? err_set(err, ERR_USAGE, "--history %s: it is none, beside or only", text) : 0;
}

static int stop_fd = -1;

/* The first signal asks to stop; a second one ends the process at once, which is safe too. */
static void on_signal(int sig)
{
    static volatile sig_atomic_t asked;
    uint64_t one = 1;

    if (asked++ || write(stop_fd, &one, sizeof one) < 0)
        _exit(128 + sig);
}

static int catch_signals(struct err *err)
{
    struct sigaction sa = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

    stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (stop_fd < 0)
        return err_set_errno(err, "cannot make an eventfd");
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    return 0;
}

/* With less than MEMORY_MIN DuckDB cannot write the files of a wide table, which would then be set aside, nor a checkpoint. */
static int read_memory(uint64_t given, size_t *ret, struct err *err)
{
    if (given && given < MEMORY_MIN) {
        err_set(err, ERR_USAGE, "--memory: %llu bytes are too few", (unsigned long long)given);
        return err_hint(err, "128MB is the least");
    }
    if (given)
        *ret = (size_t)given;
    return 0;
}

static int run(void *options, char **args, uint32_t n_args, struct err *err)
{
    const struct options *in = options;
    struct sync_options o;

    (void)n_args;
    sync_options_default(&o);
    TRY(read_history(in->history, &o.history, err));
    CLEANUP(mem_freep) struct str *tables = cli_list(in->tables, &o.n_include);
    CLEANUP(mem_freep) struct str *exclude = cli_list(in->exclude, &o.n_exclude);
    CLEANUP(mem_freep) struct str *columns = cli_list(in->columns, &o.n_include_columns);
    CLEANUP(mem_freep) struct str *exclude_columns = cli_list(in->exclude_columns, &o.n_exclude_columns);
    CLEANUP(mem_freep) struct str *copy_on_write = cli_list(in->copy_on_write, &o.n_copy_on_write);
    CLEANUP(mem_freep) struct str *change_feed = cli_list(in->change_feed, &o.n_change_feed);
    CLEANUP(mem_freep) struct str *partition_by = cli_list(in->partition_by, &o.n_partition_by);
    CLEANUP(mem_freep) struct str *resync = cli_list(in->resync, &o.n_resync);
    CLEANUP(mem_freep) char *url = mem_strdup(args[0]);
    pg_url_mask(args[0]);
    o.url = url;
    TRY(cli_folder(args[1], &o.lake, err));
    o.include = tables;
    o.exclude = exclude;
    o.include_columns = columns;
    o.exclude_columns = exclude_columns;
    o.resync = resync;
    o.state_dir = in->state;
    o.slot = in->slot;
    o.publication = in->publication;
    o.once = in->once;
    o.upgraded = in->upgraded;
    o.copy_on_write = copy_on_write;
    o.change_feed = change_feed;
    o.partition_by = partition_by;
    o.no_compaction = in->no_compaction;
    o.no_heartbeat = in->no_heartbeat;
    o.binary = in->binary;
    o.spool_quota = in->spool_quota;
    TRY(read_epoch(in->epoch, &o.epoch_us, err));
    TRY(read_memory(in->memory, &o.memory_bytes, err));
    if (in->sessions)
        o.copy_sessions = (unsigned)MIN(in->sessions, 64u);
    if (in->chunk)
        o.chunk_blocks = (uint32_t)MIN(in->chunk, 1u << 30);
    if (in->debug)
        log_set_level(LOG_DEBUG);
    TRY(catch_signals(err));
    o.stop_fd = stop_fd;
    return sync_run(&o, err);
}

const struct command command_sync = {
    .name = "sync",
    .args = "SOURCE_URL LAKE",
    .summary = "copy PostgreSQL tables into a lake, and keep following them",
    .details =
        "Copies the tables of a PostgreSQL database (13 or newer) to Delta tables LAKE/<schema>/<table>, then follows\n"
        "every change. Stop it and start it as you like, kill it if you must: it goes on where it was, and nothing is lost\n"
        "or doubled. SIGTERM or Ctrl-C: commits what it has and exits with 0.\n"
        "\n"
        "  sluice sync postgres://user:password@host/shop ./lake\n"
        "  sluice sync 'host=db user=cdc dbname=shop' ./lake --tables 'public.*' --once\n"
        "\n"
        "Columns follow the source's: rows that are there read a new column's constant default at once; where the source\n"
        "wrote all rows anew (a volatile default), the table is copied anew by itself. Files that no version within\n"
        "delta.deletedFileRetentionDuration (6 hours in new tables) needs are deleted now and then; so is the old log.\n"
        "\n"
        "The source needs wal_level = logical and a user with REPLICATION; what is missing is named at the start, with the\n"
        "SQL that mends it.\n",
    CLI_OPTIONS(OPTIONS),
    .options_size = sizeof(struct options),
    .min_args = 2,
    .max_args = 2,
    .run = run,
};
