/*
 * SQL over a lake: what `sluice sql` and pgwire run statements through. One thread at a time.
 *
 * Tables are read by name (orders, public.orders), by path (delta.`/path`, delta_scan('/path')), each at a point in time
 * (AT (VERSION => 3), VERSION AS OF 3, AT (TIMESTAMP => '…'), TIMESTAMP AS OF '…'). The rest is DuckDB's SQL. All
 * references to a table in one statement read one snapshot, the newest when the statement starts. The time zone is UTC.
 */
#ifndef SLUICE_SERVER_SESSION_H
#define SLUICE_SERVER_SESSION_H

#include "engine/engine.h"

struct session;

/* `lake`: a local folder, or NULL: only tables by path. Lists the lake. The engine must have no other table lookup. */
int session_open(struct engine *engine, const char *lake, struct session **ret, struct err *err) MUST_CHECK;
void session_free(struct session *session); /* takes NULL */
DEFINE_FREEP(session)
struct engine_conn *session_conn(struct session *session);

/* Runs one statement. The result must be freed before the next one. */
int session_run(struct session *session, struct str statement, struct engine_result **ret, struct err *err) MUST_CHECK;
/* What the last statement did, "altered", where that is all that there is to say (its result is empty); else NULL. */
const char *session_word(const struct session *session);

#endif
