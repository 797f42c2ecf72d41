/* Who runs a statement that is not a query. */
#include "server/session_internal.h"

int session_execute(struct session *s, const struct statement *st, struct buf *out, struct err *err)
{
    switch (st->kind) {
    case STATEMENT_INSERT:
    case STATEMENT_UPDATE:
    case STATEMENT_DELETE:
    case STATEMENT_MERGE:
        return session_change(s, st, out, err);
    case STATEMENT_CREATE_TABLE:
        return session_create(s, &st->create, out, err);
    case STATEMENT_DROP_TABLE:
        return session_drop(s, &st->drop, out, err);
    case STATEMENT_ALTER_TABLE:
        return session_alter(s, &st->alter, out, err);
    case STATEMENT_DESCRIBE_HISTORY:
        return session_history(s, &st->show, out, err);
    case STATEMENT_DESCRIBE_DETAIL:
        return session_detail(s, &st->show, out, err);
    case STATEMENT_SHOW_PROPERTIES:
        return session_properties(s, &st->show, out, err);
    case STATEMENT_SHOW_COLUMNS:
        return session_columns(s, &st->show, out, err);
    case STATEMENT_SHOW_PARTITIONS:
        return session_partitions(s, &st->show, out, err);
    case STATEMENT_SHOW_CREATE_TABLE:
        return session_show_create(s, &st->show, out, err);
    case STATEMENT_RESTORE:
        return session_restore(s, &st->restore, out, err);
    case STATEMENT_VACUUM:
        return session_vacuum(s, &st->vacuum, out, err);
    case STATEMENT_OPTIMIZE:
        return session_optimize(s, &st->optimize, out, err);
    case STATEMENT_REORG:
        return session_reorg(s, &st->reorg, out, err);
    case STATEMENT_GENERATE:
        return session_generate(s, &st->show, out, err);
    case STATEMENT_CLONE:
        return session_clone(s, &st->clone, out, err);
    case STATEMENT_CONVERT:
        return session_convert(s, &st->convert, out, err);
    default:
        return err_set(err, ERR_UNSUPPORTED, "%s is not supported", statement_kind_name(st->kind));
    }
}
