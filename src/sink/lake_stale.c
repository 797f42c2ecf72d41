/* What only a new copy of the table can mend, and the error that says so. */
#include "sink/lake_table.h"

int lake_copy_anew(struct lake_table *t, struct str column, const char *why, struct err *err)
{
    t->stale = true;
    return err_set(err, ERR_UNSUPPORTED, "table %s: %s column %.*s: the table is copied anew", t->name, why,
                   STR_ARG(column));
}

int lake_cannot_tell(struct lake_table *t, const struct relation *rel, struct err *err)
{
    const struct relation_column *column = relation_column_of(rel, rel->doubtful);

    return lake_copy_anew(t, column ? column->name : (struct str){0},
                          "the source dropped and added columns, and nothing tells which values belong to", err);
}
