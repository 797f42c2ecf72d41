/*
 * A transaction: actions collected against the snapshot of its start, then committed as the next version.
 *
 *   tx = delta_tx_new(table, "MERGE");
 *   delta_tx_remove_file(tx, old, true); delta_tx_add_file(tx, &new); delta_tx_set_txn(tx, app, position);
 *   delta_commit(tx, &version, err); delta_tx_free(tx);
 *
 * The commit is a put-if-absent of version N+1. When another writer was first, its commit is read and checked against
 * ours (delta/log/conflict.c); where they do not clash the commit is made anew (row ids, in-commit timestamp) and tried again,
 * else ERR_CONFLICT says which rule, in plain words. Afterwards the table's snapshot has the version, from memory: no listing
 * and no reading, whatever the size of the table or of its log.
 */
#ifndef SLUICE_DELTA_TRANSACTION_H
#define SLUICE_DELTA_TRANSACTION_H

#include "delta/log/table.h"
#include "delta/log/uuid.h"

enum delta_isolation {
    DELTA_BY_PROPERTY, /* delta.isolationLevel, else write-serializable */
    DELTA_WRITE_SERIALIZABLE,
    DELTA_SERIALIZABLE,
    DELTA_SNAPSHOT_ISOLATION, /* chosen by itself when nothing changes data */
};

/* What the caller has seen to itself for the rows that it adds; a table that needs one not named is refused. */
enum {
    DELTA_HANDLES_CONSTRAINTS = 1u << 0,       /* CHECK, invariants */
    DELTA_HANDLES_GENERATED = 1u << 1,         /* generated columns */
    DELTA_HANDLES_IDENTITY = 1u << 2,          /* identity columns */
    DELTA_HANDLES_DEFAULTS = 1u << 3,          /* column defaults */
    DELTA_HANDLES_CDF = 1u << 4,               /* cdc files where adds and removes alone would tell a wrong story */
    DELTA_HANDLES_PARTITION_COLUMNS = 1u << 5, /* materializePartitionColumns */
};

struct delta_tx {
    struct delta_table *table;   /* borrowed */
    struct delta_snapshot *read; /* of the start */
    struct arena arena;
    struct delta_actions actions;              /* as collected; commitInfo is made at the commit */
    struct str operation, parameters, metrics; /* raw JSON objects */
    struct str user_metadata;
    enum delta_isolation isolation;
    unsigned handles;      /* DELTA_HANDLES_* */
    bool blind_append;     /* only adds, and nothing of the table was read */
    bool keeps_row_ids;    /* rows that are written again have their ids with them (row tracking) */
    bool read_whole_table; /* the result depends on every file: any foreign add or remove of data clashes */
    /*
     * Judges by rows of what a winner did to files, or NULL: then every such clash is a conflict. They return 0, or
     * ERR_CONFLICT. `theirs` and `again` live until they return.
     *   rebase_file   it removed `ours`, which we remove or mask, too; `again`: its new add, with other rows masked, or
     *                 NULL when the file is gone. 0 after mending tx->actions
     *   removed_file  it removed a file that we have read and leave alone: as above. Data only moved (a compaction) is
     *                 then no clash
     *   added_file    it added data, and we have read the whole table
     */
    int (*rebase_file)(struct delta_tx *tx, const struct delta_file *ours, const struct delta_file *again, void *arg,
                       struct err *err);
    int (*removed_file)(struct delta_tx *tx, const struct delta_file *theirs, const struct delta_file *again, void *arg,
                        struct err *err);
    int (*added_file)(struct delta_tx *tx, const struct delta_file *theirs, void *arg, struct err *err);
    void *rebase_arg;
    const struct delta_metadata *new_metadata;
    const struct delta_protocol *new_protocol;
    struct map read_files; /* paths named by delta_tx_read_file */
    struct map removed;    /* paths that we remove: struct delta_action */
    struct delta_stats_reader stats;
    char txn_id[40]; /* tells our commit from others' after an ambiguous answer */
};

struct delta_tx *delta_tx_new(struct delta_table *t, const char *operation);
void delta_tx_free(struct delta_tx *tx); /* takes NULL; what was not committed is forgotten (files are not deleted) */
DEFINE_FREEP(delta_tx)

/* Each copies what it is given. */
void delta_tx_add_file(struct delta_tx *tx, const struct delta_file *f);
/* `live` out of the snapshot (or a copy): the remove carries its size, partition values, vector and row ids. */
void delta_tx_remove_file(struct delta_tx *tx, const struct delta_file *live, bool data_change);
/* Masks rows of a live file: remove with its old vector, add with the new one. Stats get tightBounds false. */
void delta_tx_set_dv(struct delta_tx *tx, const struct delta_file *live, const struct delta_dv_desc *dv);
void delta_tx_add_cdc(struct delta_tx *tx, const struct delta_file *f);
/* The result depends on this file: a foreign removal of it clashes. Removed files are read by themselves. */
void delta_tx_read_file(struct delta_tx *tx, const struct delta_file *f);
void delta_tx_set_metadata(struct delta_tx *tx, const struct delta_metadata *m);
void delta_tx_set_protocol(struct delta_tx *tx, const struct delta_protocol *p);
void delta_tx_set_txn(struct delta_tx *tx, struct str app_id, int64_t version);
void delta_tx_set_domain(struct delta_tx *tx, struct str domain, struct str configuration, bool removed);
/* Raw JSON objects for commitInfo; parameters' values are JSON strings by convention: {"mode":"\"Append\""}. */
void delta_tx_set_parameters(struct delta_tx *tx, struct str json);
void delta_tx_set_metrics(struct delta_tx *tx, struct str json);

/* ERR_REFUSED: the table is append-only. delta_commit() asks it too, of what is removed. */
int delta_tx_check_removable(const struct delta_tx *tx, const struct delta_head *head, struct err *err) MUST_CHECK;

/*
 * Commits; the table then has the new version. ERR_CONFLICT: clashes with another writer; ERR_UNSUPPORTED: a writer feature of
 * the table. A due checkpoint is not written here: see delta_checkpoint_if_due. Once a commit failed, the transaction
 * can only be freed.
 */
int delta_commit(struct delta_tx *tx, int64_t *ret_version, struct err *err) MUST_CHECK;

/* What a new table shall be. */
struct delta_create {
    const struct schema *schema;
    struct str id; /* empty: a new UUID */
    struct str name, description;
    const struct str *partition_columns;
    uint32_t n_partition_columns;
    const struct delta_kv *configuration; /* properties switch on the features that they need */
    uint32_t n_configuration;
    const char *const *features; /* more features to list, NULL-terminated, or NULL */
    const char *operation;       /* NULL: "CREATE TABLE" */
    struct str parameters;
    const struct delta_file *files; /* first files, in version 0 too */
    uint32_t n_files;
    const struct delta_txn *txn;         /* NULL: none */
    const struct delta_path *cluster_by; /* columns of the table's clustering */
    uint32_t n_cluster_by;
    struct str metrics;
    const struct delta_domain *row_ids; /* the files come with row ids: the domain that keeps the highest */
};
/*
 * A table as it will be, fixed before its first files are written: those need its schema and properties. With `replaced`
 * it is to take the place of that table, whose protocol it goes on from.
 */
struct delta_draft {
    struct arena arena;
    struct delta_snapshot *replaced; /* NULL: a new table */
    const struct delta_protocol *protocol;
    struct delta_metadata *metadata;
    const struct delta_head *head;
    struct str clustering; /* configuration of the domain; empty: none */
};
int delta_draft_make(const struct delta_create *c, struct delta_snapshot *replaced, struct delta_draft *ret,
                     struct err *err) MUST_CHECK;
void delta_draft_deinit(struct delta_draft *d);
/* Writes version 0 of a drafted table (of `c` only operation, parameters, metrics, files and txn are looked at). */
int delta_draft_create(const struct delta_draft *d, struct store *store, struct engine *engine,
                       const struct delta_create *c, struct delta_table **ret, struct err *err) MUST_CHECK;
/* Replaces the table by the drafted one, in one commit. ERR_CONFLICT when it has changed since the draft. */
int delta_draft_replace(const struct delta_draft *d, struct delta_table *t, const struct delta_create *c,
                        int64_t *ret_version, struct err *err) MUST_CHECK;
/* Writes version 0 and opens the table. ERR_EXISTS when there is a table. */
int delta_table_create(struct store *store, struct engine *engine, const struct delta_create *c,
                       struct delta_table **ret, struct err *err) MUST_CHECK;

#endif
