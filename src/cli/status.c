/*
 * sluice status: what a lake holds and how far it is, read from its files: safe at any time, also while a sync runs.
 *
 * The rows are made into a VALUES list, so that all formats come from the printer of results.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/output.h"
#include "delta/log/lake.h"
#include "delta/log/table.h"
#include "model/position.h"
#include "pipeline/state.h"
#include "source/pg_slot.h"
#include "spool/spool_look.h"

#include <locale.h>
#include <stddef.h>
#include <stdio.h>

struct options {
    const char *format, *state, *source;
};

struct source_status { /* --source */
    bool known;
    struct pg_slot slot;
};

struct status {
    struct state state;
    struct lake lake;
    char *state_dir, *app_id;
    bool followed; /* there is a state */
    struct spool_look spool;
    struct source_status source;
    struct engine *engine;
    struct engine_conn *conn;
    struct buf rows; /* SQL */
};

static void status_deinit(struct status *s)
{
    state_deinit(&s->state);
    lake_deinit(&s->lake);
    engine_conn_free(s->conn);
    engine_free(s->engine);
    buf_deinit(&s->rows);
    mem_free(s->state_dir);
    mem_free(s->app_id);
}

/* ---- one table ---- */

struct row {
    struct str schema, name;
    const char *state;
    struct str reason;
    bool known; /* its log could be read: the rest is there */
    int64_t version, rows, files, bytes, committed_ms, deleted_rows, vectors;
    uint64_t position; /* 0: none */
};

static void add_number(struct buf *sql, bool known, int64_t n)
{
    buf_printf(sql, known ? ", %lld::BIGINT" : ", NULL::BIGINT", (long long)n);
}

static void add_text(struct buf *sql, struct str text)
{
    buf_add_cstr(sql, ", ");
    if (text.n)
        buf_add_sql_literal(sql, text);
    else
        buf_add_cstr(sql, "NULL::VARCHAR");
}

static void add_lsn(struct buf *sql, uint64_t lsn)
{
    char at[LSN_TEXT];

    add_text(sql, lsn ? str_of(lsn_text(lsn, at)) : (struct str){0});
    add_number(sql, lsn != 0, (int64_t)lsn);
}

static int64_t lag_of(const struct status *s)
{
    const struct pg_slot *slot = &s->source.slot;

    return slot->server_lsn > s->state.applied ? (int64_t)(slot->server_lsn - s->state.applied) : 0;
}

static void add_row(struct status *s, const struct row *r)
{
    struct buf *sql = &s->rows;
    CLEANUP(mem_freep) char *name = mem_printf("%.*s.%.*s", STR_ARG(r->schema), STR_ARG(r->name));
    char at[CLOCK_TEXT];
    const struct pg_slot *slot = &s->source.slot;

    buf_add_cstr(sql, sql->n ? ",\n(" : "(");
    buf_add_sql_literal(sql, str_of(name));
    add_text(sql, str_of(r->state));
    add_text(sql, r->reason);
    add_number(sql, r->known, r->version);
    add_number(sql, r->known && r->rows >= 0, r->rows);
    add_number(sql, r->known, r->files);
    add_number(sql, r->known, r->bytes);
    add_lsn(sql, r->position);
    add_text(sql, r->known ? str_of(clock_text(r->committed_ms * 1000, at)) : (struct str){0});
    add_number(sql, r->known, r->deleted_rows);
    add_number(sql, r->known, r->vectors);
    add_lsn(sql, s->state.applied);
    add_text(sql, str_of(s->state.slot));
    buf_add_cstr(sql, s->spool.in_use ? ", true" : ", false");
    add_number(sql, true, (int64_t)s->spool.disk_bytes);
    if (s->source.known) {
        add_lsn(sql, slot->server_lsn);
        add_number(sql, s->state.applied != 0, lag_of(s));
        add_number(sql, slot->exists, slot->retained_bytes);
        add_text(sql, str_of(slot->exists ? slot->wal_status : "gone"));
    }
    buf_add_char(sql, ')');
}

/* What the log says. A table that cannot be read is shown with the reason, and the others go on. */
static void read_table(struct status *s, const char *path, struct row *r, struct err *why)
{
    CLEANUP(store_unrefp) struct store *store = store_local_new(path);
    CLEANUP(delta_table_freep) struct delta_table *table = NULL;
    CLEANUP(delta_snapshot_unrefp) struct delta_snapshot *snapshot = NULL;
    const struct delta_file *f;
    size_t cursor = 0;
    int64_t position;

    if (delta_table_open(store, s->engine, &table, why))
        return;
    snapshot = delta_table_snapshot(table);
    r->known = true;
    r->version = snapshot->version;
    r->rows = snapshot->n_unknown ? -1 : snapshot->records;
    r->files = (int64_t)snapshot->n_files;
    r->bytes = snapshot->bytes;
    r->committed_ms = snapshot->timestamp_ms;
    r->vectors = (int64_t)snapshot->n_dvs;
    while ((f = delta_snapshot_next(snapshot, &cursor)))
        r->deleted_rows += f->dv ? f->dv->cardinality : 0;
    if (s->followed && delta_snapshot_txn(snapshot, str_of(s->app_id), &position))
        r->position = (uint64_t)position;
}

static const struct state_table *find_state(const struct status *s, const struct lake_table *t)
{
    for (size_t i = 0; i < s->state.n_tables; i++)
        if (str_eq(s->state.tables[i].schema, t->schema) && str_eq(s->state.tables[i].name, t->name))
            return &s->state.tables[i];
    return NULL;
}

static void add_lake_table(struct status *s, const struct lake_table *t)
{
    const struct state_table *st = find_state(s, t);
    struct row r = {.schema = t->schema, .name = t->name, .state = "other"};
    struct err why;

    if (st) {
        r.state = table_state_name(st->state);
        r.reason = st->reason;
    } else if (str_is(t->schema, "sluice") && str_is(t->name, "dead_letters")) {
        r.state = "dead letters";
    }
    read_table(s, t->path, &r, &why);
    if (!r.known) {
        r.state = "unreadable";
        r.reason = str_of(why.msg);
    }
    if (st && st->state == TABLE_STREAMING)
        r.position = MAX(r.position, s->state.applied);
    add_row(s, &r);
}

/* Tables that a sync knows and that have no Delta log yet. */
static void add_coming(struct status *s)
{
    for (size_t i = 0; i < s->state.n_tables; i++) {
        const struct state_table *st = &s->state.tables[i];
        bool there = false;
        for (size_t k = 0; k < s->lake.n; k++)
            there |= str_eq(s->lake.tables[k].schema, st->schema) && str_eq(s->lake.tables[k].name, st->name);
        if (there)
            continue;
        struct row r = {st->schema, st->name, table_state_name(st->state), st->reason, .known = false};
        add_row(s, &r);
    }
}

/* ---- all ---- */

static int read_source(struct status *s, const char *url, struct err *err)
{
    CLEANUP(pg_conn_freep) struct pg_conn *conn = NULL;
    uint64_t lsn;

    TRY(pg_conn_open(url, PG_CONN_SQL, -1, &conn, err));
    if (s->followed)
        TRY(pg_slot_read(conn, s->state.slot, &s->source.slot, err));
    TRY(pg_current_wal_lsn(conn, &lsn, err));
    s->source.slot.server_lsn = MAX(s->source.slot.server_lsn, lsn);
    s->source.known = true;
    return 0;
}

static int read_all(struct status *s, const char *lake, const struct options *o, struct err *err)
{
    CLEANUP(mem_freep) char *spool = NULL;
    struct engine_options options = {.threads = 1};

    s->state_dir = state_dir_of(lake, o->state);
    spool = mem_printf("%s/spool", s->state_dir);
    TRY(spool_look(spool, &s->spool, err));
    TRY(state_load(&s->state, s->state_dir, err));
    s->followed = s->state.slot[0] != 0;
    s->app_id = state_app_id(&s->state);
    TRY(lake_list(lake, &s->lake, err));
    if (o->source)
        TRY(read_source(s, o->source, err));
    TRY(engine_open(&options, &s->engine, err));
    TRY(engine_connect(s->engine, &s->conn, err));
    for (size_t i = 0; i < s->lake.n; i++)
        add_lake_table(s, &s->lake.tables[i]);
    add_coming(s);
    return 0;
}

#define COLUMNS                                                                                                   \
    "\"table\", state, reason, version, rows, files, bytes, position, position_number, committed, deleted_rows, " \
    "deletion_vectors, applied, applied_number, slot, sync_running, spool_bytes"
#define SOURCE_COLUMNS ", server, server_number, lag_bytes, retained_bytes, wal_status"

static int print_rows(struct status *s, enum output_format format, struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0};
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    bool any = s->rows.n > 0;
    uint64_t rows;

    if (!any) { /* the types come from a row that is then left out */
        struct row none = {.state = "other"};
        add_row(s, &none);
    }
    buf_printf(&sql, "SELECT %s FROM (VALUES %s) t(%s%s)%s ORDER BY \"table\"",
               format == OUTPUT_TABLE
                   ? "\"table\", state, version, rows, files, format_bytes(bytes) AS size, position, "
                     "committed, deleted_rows AS deleted, reason"
                   : "*",
               s->rows.p, COLUMNS, s->source.known ? SOURCE_COLUMNS : "", any ? "" : " WHERE false");
    TRY(engine_query(s->conn, sql.p, &result, err));
    return output_result(stdout, result, format, 0, &rows, err);
}

static void print_overall(const struct status *s)
{
    char at[LSN_TEXT];
    const struct pg_slot *slot = &s->source.slot;

    if (!s->followed) {
        printf("no sync follows a source here (%s holds no state)\n", s->state_dir);
    } else {
        printf("applied %s   slot %s   spool %.1f MB in %llu segments   sync %s", lsn_text(s->state.applied, at),
               s->state.slot, (double)s->spool.disk_bytes / 1e6, (unsigned long long)s->spool.n_segments,
               s->spool.in_use ? "running" : "not running");
        if (s->spool.pid)
            printf(" (process %d)", s->spool.pid);
        putchar('\n');
    }
    if (!s->source.known)
        return;
    printf("source at %s", lsn_text(slot->server_lsn, at));
    if (s->followed && slot->exists)
        printf("   lag %lld bytes   slot keeps %.1f MB of WAL, %s%s", (long long)lag_of(s),
               (double)slot->retained_bytes / 1e6, slot->wal_status, slot->active ? "" : ", not in use");
    else if (s->followed)
        printf("   the slot %s is gone", s->state.slot);
    putchar('\n');
}

static int run(void *options, char **args, uint32_t n_args, struct err *err)
{
    const struct options *o = options;
    CLEANUP(status_deinit) struct status s = {0};
    enum output_format format = OUTPUT_TABLE;

    const char *lake;

    (void)n_args;
    TRY(cli_folder(args[0], &lake, err));
    if (o->format && strcmp(o->format, "table") != 0)
        format = strcmp(o->format, "csv") == 0 ? OUTPUT_CSV : OUTPUT_JSON;
    setlocale(LC_CTYPE, "C.UTF-8"); /* for the width of characters */
    TRY(read_all(&s, lake, o, err));
    TRY(print_rows(&s, format, err));
    if (format == OUTPUT_TABLE)
        print_overall(&s);
    return fflush(stdout) ? err_set_errno(err, "writing the result") : 0;
}

static const struct cli_option OPTIONS[] = {
    {"format", 0, CLI_CHOICE, offsetof(struct options, format), "table|csv|json",
     "how it is printed (table); json: one object a table and line"},
    {"state", 0, CLI_TEXT, offsetof(struct options, state), "DIR", "where sync keeps its log and notes (LAKE/_sluice)"},
    {"source", 0, CLI_TEXT, offsetof(struct options, source), "URL", "also ask the source: lag, WAL kept by the slot"},
};

const struct command command_status = {
    .name = "status",
    .args = "LAKE [--source URL] [--format table|csv|json]",
    .summary = "what a lake holds, and how far it is",
    .details =
        "Reads the lake's files and the notes of its sync; changes nothing and may be used while sync runs.\n"
        "\n"
        "json and csv have these keys, null where not known; positions are text (16/B374D848) and, as …_number, bytes:\n"
        "  table              schema.table\n"
        "  state              new, copying, streaming, quarantined (a sync's); dead letters; other (no sync follows it);\n"
        "                     unreadable\n"
        "  reason             why it is quarantined or unreadable\n"
        "  version            of the Delta table\n"
        "  rows               live ones\n"
        "  files, bytes       live data files\n"
        "  position[_number]  the table has every transaction that committed at or before it\n"
        "  committed          time of the last commit\n"
        "  deleted_rows       masked in files; deletion_vectors: files that have such rows\n"
        "  applied[_number]   every streaming table has at least this position; the same on each line, as are\n"
        "  slot               replication slot\n"
        "  sync_running       whether a process has the spool open\n"
        "  spool_bytes        changes on disk that are not everywhere in the lake yet\n"
        "with --source also\n"
        "  server[_number]    end of the source's WAL\n"
        "  lag_bytes          of it, not applied yet\n"
        "  retained_bytes, wal_status   WAL that the slot keeps, and whether it still has what it needs\n",
    CLI_OPTIONS(OPTIONS),
    .options_size = sizeof(struct options),
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
