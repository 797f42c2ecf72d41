/*
 * The slot is where changes can be lost, so adopting one refuses whatever would make the server skip ahead of us: it
 * answers START_REPLICATION at a position behind confirmed_flush_lsn by silently starting at the latter.
 */
#include "source/pg_slot.h"

#include "base/buf.h"
#include "base/clock.h"
#include "model/position.h"

#include <stdio.h>
#include <unistd.h>

/* The end of WAL as a client may see it, also on a standby. */
#define SERVER_LSN "CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END"

static int check_slot_name(const char *slot, struct err *err)
{
    size_t n = strlen(slot);

    if (n > 0 && n < PG_NAME_MAX && strspn(slot, "abcdefghijklmnopqrstuvwxyz0123456789_") == n)
        return 0;
    err_set(err, ERR_USAGE, "'%s' cannot be the name of a replication slot", slot);
    return err_hint(err, "use 1 to 63 of a-z, 0-9 and _");
}

int pg_slot_read(struct pg_conn *conn, const char *slot, struct pg_slot *ret, struct err *err)
{
    CLEANUP(pg_result_freep) struct pg_result *r = NULL;
    CLEANUP(buf_deinit) struct buf sql = {0};
    int version = pg_conn_version(conn);

    /* No parameters: this runs on replication connections too. */
    buf_printf(&sql,
               "SELECT s.slot_name IS NOT NULL, s.active, s.temporary, %s, %s, %s, s.active_pid, s.plugin, s.database,"
               " s.wal_status, s.restart_lsn, s.confirmed_flush_lsn, coalesce(s.safe_wal_size, -1),"
               " coalesce(pg_wal_lsn_diff(c.lsn, s.restart_lsn)::bigint, 0), c.lsn"
               " FROM (SELECT " SERVER_LSN " AS lsn) c LEFT JOIN pg_replication_slots s ON s.slot_name = ",
               version >= 140000 ? "s.two_phase" : "false", version >= 160000 ? "s.conflicting" : "false",
               version >= 170000 ? "s.failover" : "false");
    buf_add_sql_literal(&sql, str_of(slot));
    TRY(pg_query(conn, sql.p, 0, NULL, &r, err));
    struct pg_slot s = {
        .exists = pg_result_bool(r, 0, 0),
        .active = pg_result_bool(r, 0, 1),
        .temporary = pg_result_bool(r, 0, 2),
        .two_phase = pg_result_bool(r, 0, 3),
        .conflicting = pg_result_bool(r, 0, 4),
        .failover = pg_result_bool(r, 0, 5),
        .active_pid = (int)pg_result_i64(r, 0, 6),
        .restart_lsn = pg_result_lsn(r, 0, 10),
        .confirmed_lsn = pg_result_lsn(r, 0, 11),
        .safe_wal_size = pg_result_i64(r, 0, 12),
        .retained_bytes = pg_result_i64(r, 0, 13),
        .server_lsn = pg_result_lsn(r, 0, 14),
    };
    snprintf(s.plugin, sizeof s.plugin, "%s", pg_result_str(r, 0, 7).p);
    snprintf(s.database, sizeof s.database, "%s", pg_result_str(r, 0, 8).p);
    snprintf(s.wal_status, sizeof s.wal_status, "%s", pg_result_str(r, 0, 9).p);
    *ret = s;
    return 0;
}

int pg_slot_check(struct pg_conn *conn, const char *slot, const struct pg_slot *s, struct err *err)
{
    CLEANUP(pg_result_freep) struct pg_result *r = NULL;

    TRY(pg_query(conn, "SELECT current_database()", 0, NULL, &r, err));
    const char *database = pg_result_str(r, 0, 0).p;
    if (!s->exists) {
        err_set(err, ERR_REFUSED, "replication slot %s is not there any more: changes since then are lost to it", slot);
        return err_hint(err,
                        "it was dropped, or the server failed over to one without it (starting from now instead would "
                        "lose changes silently); " PG_COPY_ANEW);
    }
    if (strcmp(s->plugin, "pgoutput") != 0) {
        err_set(err, ERR_REFUSED, "replication slot %s belongs to the output plugin %s, not pgoutput", slot,
                s->plugin[0] ? s->plugin : "(none: a physical slot)");
        return err_hint(err, "choose another slot name");
    }
    if (strcmp(s->database, database) != 0) {
        err_set(err, ERR_REFUSED, "replication slot %s belongs to database %s, not %s", slot, s->database, database);
        return err_hint(err, "-- connect to database %s, or choose another slot name", s->database);
    }
    if (s->two_phase) {
        err_set(err, ERR_REFUSED, "replication slot %s was made for two-phase commit, which is not supported", slot);
        return err_hint(err, "choose another slot name");
    }
    if (s->conflicting || strcmp(s->wal_status, "lost") == 0) {
        err_set(err, ERR_REFUSED, "replication slot %s was invalidated: the server has removed WAL that it needed",
                slot);
        return err_hint(err,
                        "SELECT pg_drop_replication_slot('%s');\n-- then " PG_COPY_ANEW "; raise "
                        "max_slot_wal_keep_size so that it does not happen again",
                        slot);
    }
    return 0;
}

static int check_slot_is_free(const char *slot, const struct pg_slot *s, struct err *err)
{
    if (!s->active)
        return 0;
    err_set(err, ERR_CONFLICT, "replication slot %s is in use by the server process %d", slot, s->active_pid);
    return err_hint(err,
                    "if that is not another sluice, it is an old connection that ends within wal_sender_timeout; "
                    "or: SELECT pg_terminate_backend(%d);",
                    s->active_pid);
}

static int check_slot_position(const char *slot, const struct pg_slot *s, uint64_t our_lsn, struct err *err)
{
    char ours[LSN_TEXT], theirs[LSN_TEXT];

    if (our_lsn && s->confirmed_lsn > our_lsn) {
        err_set(err, ERR_REFUSED,
                "replication slot %s stands at %s, but we have changes only up to %s: it was moved or made anew, and "
                "what lies between is lost",
                slot, lsn_text(s->confirmed_lsn, theirs), lsn_text(our_lsn, ours));
        return err_hint(err, "find out who reads from or advances this slot; then " PG_COPY_ANEW);
    }
    if (our_lsn > s->server_lsn) {
        err_set(err, ERR_REFUSED,
                "the server's WAL ends at %s, but we have changes up to %s: it was restored from a backup or failed "
                "over to a standby that lagged",
                lsn_text(s->server_lsn, theirs), lsn_text(our_lsn, ours));
        return err_hint(err, "what we hold contains changes that the server has lost; " PG_COPY_ANEW);
    }
    return 0;
}

int pg_slot_adopt(struct pg_conn *conn, const char *slot, uint64_t our_lsn, uint64_t system_id, struct pg_slot *ret,
                  struct err *err)
{
    CLEANUP(pg_result_freep) struct pg_result *r = NULL;
    uint64_t id = 0;

    TRY(check_slot_name(slot, err));
    TRY(pg_query(conn, "SELECT system_identifier FROM pg_control_system()", 0, NULL, &r, err));
    (void)!str_to_u64(pg_result_str(r, 0, 0), &id);
    if (system_id && id != system_id) {
        err_set(err, ERR_REFUSED, "this is another PostgreSQL cluster (system identifier %llu) than before (%llu)",
                (unsigned long long)id, (unsigned long long)system_id);
        return err_hint(err, "connect to the cluster that the tables were copied from, or " PG_COPY_ANEW);
    }
    TRY(pg_slot_read(conn, slot, ret, err));
    TRY(pg_slot_check(conn, slot, ret, err));
    TRY(check_slot_is_free(slot, ret, err));
    return check_slot_position(slot, ret, our_lsn, err);
}

static int create_slot(struct pg_conn *repl, const char *slot, bool temporary, uint64_t *ret_lsn,
                       char ret_snapshot[PG_SNAPSHOT_NAME], struct err *err)
{
    CLEANUP(pg_result_freep) struct pg_result *r = NULL, *standby = NULL;
    CLEANUP(buf_deinit) struct buf sql = {0};
    int version = pg_conn_version(repl);
    bool failover = false;

    TRY(check_slot_name(slot, err));
    if (version >= 170000 && !temporary) {
        TRY(pg_query(repl, "SELECT pg_is_in_recovery()", 0, NULL, &standby, err));
        failover = !pg_result_bool(standby, 0, 0);
    }
    buf_printf(&sql, "CREATE_REPLICATION_SLOT %s%s LOGICAL pgoutput %s", slot, temporary ? " TEMPORARY" : "",
               version >= 150000 ? "(SNAPSHOT 'export'" : "EXPORT_SNAPSHOT");
    if (version >= 150000)
        buf_add_cstr(&sql, failover ? ", FAILOVER true)" : ")");
    if (pg_query(repl, sql.p, 0, NULL, &r, err) < 0)
        return err_wrap(err, "replication slot %s", slot);
    *ret_lsn = pg_result_lsn(r, 0, 1);
    snprintf(ret_snapshot, PG_SNAPSHOT_NAME, "%s", pg_result_str(r, 0, 2).p);
    return 0;
}

int pg_slot_create(struct pg_conn *repl, const char *slot, uint64_t *ret_lsn, char ret_snapshot[PG_SNAPSHOT_NAME],
                   struct err *err)
{
    return create_slot(repl, slot, false, ret_lsn, ret_snapshot, err);
}

int pg_slot_create_temporary(struct pg_conn *repl, uint64_t *ret_lsn, char ret_snapshot[PG_SNAPSHOT_NAME],
                             struct err *err)
{
    char name[PG_NAME_MAX];

    snprintf(name, sizeof name, "sluice_tmp_%d_%llx", (int)getpid(), (unsigned long long)clock_now_us());
    return create_slot(repl, name, true, ret_lsn, ret_snapshot, err);
}

/* `rows`: SELECT who, since …; the oldest five, as a list. */
static int name_oldest(struct pg_conn *conn, const char *rows, struct buf *ret, struct err *err)
{
    CLEANUP(pg_result_freep) struct pg_result *r = NULL;
    CLEANUP(buf_deinit) struct buf sql = {0};

    buf_printf(&sql,
               "SELECT string_agg(who || ' since ' || to_char(since, 'YYYY-MM-DD HH24:MI:SS'), ', ' ORDER BY since)"
               " FROM (%s ORDER BY 2 LIMIT 5) oldest(who, since)",
               rows);
    TRY(pg_query(conn, sql.p, 0, NULL, &r, err));
    buf_add_str(ret, pg_result_str(r, 0, 0));
    return 0;
}

int pg_open_transactions(struct pg_conn *conn, struct buf *ret, struct err *err)
{
    return name_oldest(conn,
                       "SELECT 'pid ' || pid || coalesce(' (' || nullif(application_name, '') || ')', ''), xact_start "
                       "FROM pg_stat_activity WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() UNION ALL "
                       "SELECT 'prepared transaction ' || quote_literal(gid), prepared FROM pg_prepared_xacts",
                       ret, err);
}

int pg_lock_holders(struct pg_conn *conn, struct buf *ret, struct err *err)
{
    return name_oldest(
        conn,
        "SELECT format('pid %s%s on %I.%I', l.pid, ' (' || nullif(a.application_name, '') || ')', n.nspname, c.relname),"
        " coalesce(a.xact_start, now()) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation"
        " JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_stat_activity a ON a.pid = l.pid"
        " WHERE l.granted AND l.mode = 'AccessExclusiveLock' AND c.relkind IN ('r', 'p')"
        " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        ret, err);
}

int pg_slot_drop(struct pg_conn *conn, const char *slot, struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0};

    buf_add_cstr(&sql, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = ");
    buf_add_sql_literal(&sql, str_of(slot));
    return pg_exec(conn, sql.p, err);
}

int pg_current_wal_lsn(struct pg_conn *conn, uint64_t *ret, struct err *err)
{
    CLEANUP(pg_result_freep) struct pg_result *r = NULL;

    TRY(pg_query(conn, "SELECT " SERVER_LSN, 0, NULL, &r, err));
    *ret = pg_result_lsn(r, 0, 0);
    return 0;
}
