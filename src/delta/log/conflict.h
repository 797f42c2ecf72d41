/* Inside the delta layer: does a commit that was first clash with ours? */
#ifndef SLUICE_DELTA_CONFLICT_H
#define SLUICE_DELTA_CONFLICT_H

#include "delta/log/transaction.h"

/* The isolation that holds: never DELTA_BY_PROPERTY. */
enum delta_isolation delta_tx_isolation(const struct delta_tx *tx);
/* ERR_CONFLICT and which rule, in plain words. May call tx->rebase_file, which may change tx->actions. */
int delta_conflict_check(struct delta_tx *tx, const struct delta_actions *winner, int64_t version,
                         struct err *err) MUST_CHECK;

#endif
