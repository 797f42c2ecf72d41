/*
 * One Delta table that follows one PostgreSQL table: rows in, one commit an epoch out.
 *
 *   lake_table_apply(batch)   each row finds its old version by key: in the buffer of this epoch (then that is dead), or
 *                             in a file (then that row is masked in the file's deletion vector); new rows are buffered
 *   lake_table_flush()        buffered rows become a Parquet file; the key index learns where they are
 *   lake_table_commit(lsn)    add, remove, deletion vectors, schema, position: one Delta commit
 *
 * Everything between two commits is undone by closing the table and opening it again.
 * A table is *staged* while its initial copy is not yet at one position: its files exist, its log does not show them. The
 * first commit at or after `hold_until` shows all of them at once, so that readers never see half a snapshot.
 *
 * Belongs to one thread (the apply thread).
 */
#ifndef SLUICE_SINK_LAKE_TABLE_H
#define SLUICE_SINK_LAKE_TABLE_H

#include "codec/dv.h"
#include "delta/index/key_index.h"
#include "delta/log/table.h"
#include "delta/log/transaction.h"
#include "engine/engine.h"
#include "model/relation.h"
#include "sink/row_buffer.h"

#include "base/map.h"

/* Where changes are kept as rows of their own. */
enum lake_changes {
    LAKE_CHANGES_NOWHERE,
    LAKE_CHANGES_BESIDE, /* in a second table beside each */
    LAKE_CHANGES_ONLY,   /* in the table itself, instead of the current state */
};

/* What all tables of a lake share. */
struct lake_env {
    struct engine *engine;      /* borrowed */
    struct engine_conn *conn;   /* of the apply thread; borrowed */
    struct lake_worker *worker; /* merges and checkpoints, while the apply thread goes on; NULL: it does them itself */
    const char *root;           /* of the lake: a folder */
    const char *state_dir;      /* our own files: key indexes */
    const char *app_id;         /* of our position in the log's txn actions */
    /* Is the table to be without deletion vectors, its files written anew? NULL: none is. */
    bool (*copies_on_write)(void *ctx, struct table_name table);
    /* Is the table to have a change data feed? It keeps one that it has. NULL: as it is. */
    bool (*feeds_changes)(void *ctx, struct table_name table);
    /* Is a new table to be partitioned by the column? NULL: none is. */
    bool (*partitions_by)(void *ctx, struct table_name table, struct str column);
    /*
     * Some rows of the source as they are now, which nobody has written since columns were last altered: what the lake has of
     * them is what ALTER TABLE found. NULL when that cannot be told now. NULL: there is nobody to ask.
     */
    int (*untouched)(void *ctx, const struct relation *rel, const struct schema *schema, struct batch **ret,
                     struct err *err);
    void *ctx;
    enum lake_changes history; /* see lake_history.h */
    uint32_t compact_files;    /* so many small files in a table are merged; 0: never */
    size_t index_memory;       /* bytes of key indexes to keep in memory, for each; 0: no limit */
    int64_t target_file_bytes; /* of a compacted file */
    int32_t checkpoint_interval;
};

struct lake_partition;

struct lake_file {
    uint32_t id;   /* unique in the table for ever: part of the file's name; from LAKE_FOREIGN on: another writer's */
    uint32_t rows; /* physical */
    char *path;    /* from the table's root */
    int64_t size;  /* bytes */
    char *stats;   /* pending files only; owned */
    struct lake_partition *part; /* what the log says of its rows (lake_partition.h) */
    struct dv dv;                /* rows that are gone; loaded when first needed */
    uint64_t masked;             /* rows that are gone (the dv's cardinality, also when it is not loaded) */
    bool dv_loaded, dv_dirty;
    bool pending;   /* not in the log yet (but see `adopted`) */
    bool adopted;   /* pending file of a copy, which may be in the log: its notes outlive a kill after the commit */
    bool doomed;    /* in the log, to be removed by the next commit */
    bool compacted; /* pending file made by compaction: its rows are not a change of data */
};

static inline bool lake_has_vectors(const struct lake_env *env, struct table_name table)
{
    return !env->copies_on_write || !env->copies_on_write(env->ctx, table);
}

enum { LAKE_FOREIGN = 1u << 31 };
#define LAKE_FILES_APP "/files"          /* after the app id: the txn action that says the next file number */
#define LAKE_GONE_APP "/gone"            /* in a history: up to which position it has rows of partitions that went */
#define LAKE_NO_COLUMNS "has no columns" /* ends the reason of a table that is set aside for it, until it has one */

enum lake_state {
    LAKE_STREAMING,
    LAKE_STAGED,      /* see above */
    LAKE_QUARANTINED, /* takes nothing until it is copied anew; `reason` says why */
};

/* A partition column. */
struct lake_part {
    int attnum;
    enum type_id type;
    uint32_t field; /* of t->lake */
    int col;        /* of t->source; -1: not known yet */
};

/* Where the time of an epoch went, for the log (--debug). */
struct lake_times {
    uint64_t rows;    /* taken from the source */
    int64_t apply_us; /* finding and masking old rows */
    int64_t write_us; /* data files */
};

struct lake_table {
    const struct lake_env *env;
    char *name;            /* "public.orders" */
    size_t schema_bytes;   /* of the schema in it: both may have dots */
    char uuid[DELTA_UUID]; /* the Delta table's id */
    bool vectors;          /* rows are masked by deletion vectors; else their files are written anew */
    bool feed;             /* a change data feed is wanted; a table may also have one by its properties */
    enum lake_state state;
    char *reason;
    bool
        stale; /* quarantined because the source has values that were never in the stream: to be copied anew by itself */
    int64_t
        storage;    /* of the relation when the lake's columns were last the catalog's, 0 = unknown (lake_backfill.c) */
    int64_t shape;  /* of the relation then */
    int attributes; /* the highest attnum known then */
    struct store *store;
    struct delta_table *delta; /* NULL while staged and not there before */
    struct relation *rel;
    struct schema *source;  /* of incoming batches */
    struct schema *lake;    /* of the table as the next commit will leave it; fields have physical names and ids */
    struct schema *write;   /* source's columns with lake's physical names: what files are written with */
    char *row_id;           /* row tracking: the physical name of the column with the ids of rows; NULL: none is kept */
    struct schema *tracked; /* row_id: source's columns and then the id's, as batches have them; NULL otherwise */
    bool schema_dirty;      /* `lake` differs from the log's */
    bool mapped;            /* column mapping by name is on (or will be with the next commit) */
    bool widened;           /* a column was widened: the table needs that feature */
    int32_t max_column_id;
    struct lake_part *parts;
    uint32_t n_parts;
    struct map partitions; /* key → struct lake_partition *, in part_arena */
    struct arena part_arena;
    int *key_cols; /* of source */
    size_t n_keys;
    struct row_buffer buffer;
    struct imap files; /* id → struct lake_file * */
    uint32_t next_file;
    struct key_index *index; /* NULL until the first row that needs it */
    uint64_t position;       /* commit LSN that the log has */
    uint64_t hold_until;     /* LAKE_STAGED */
    uint64_t gone;           /* a history: LAKE_GONE_APP, as the log has it, … */
    uint64_t gone_next;      /* … and as the next commit will; 0: as it is */
    uint64_t gone_until;     /* until then, rows of partitions that went may be updated that are gone here */
    bool dirty;              /* something to commit */
    bool being_copied;       /* anew, while it follows: files that no log names are the copy's */
    int64_t last_vacuum_ms;
    int64_t upkeep_not_before_us;       /* memory did not suffice the last time; 0: never so */
    bool replace_all;                   /* the commit removes every file of the log first (a table copied anew) */
    struct lake_merge *merge;           /* files that the worker merges, or has merged */
    struct lake_checkpoint *checkpoint; /* that the worker writes, or has written */
    int64_t compacted_to;               /* commits up to here are in a file together, or were long ago */
    uint64_t n_unmatched;               /* updates and deletes that found no row */
    uint64_t n_commits;
    struct lake_times times;
    struct hash128 *hashes; /* scratch */
    uint32_t cap_hashes;
};

/* Opens the table of this name when the lake has it, else gives NULL. One that somebody has partitioned by a column of his own
 * is set aside: it takes no rows, but it can be copied anew. */
int lake_table_open(const struct lake_env *env, struct table_name name, struct lake_table **ret,
                    struct err *err) MUST_CHECK;
/* A table that is not in the lake yet (or is to be replaced): staged, without files. */
int lake_table_stage(const struct lake_env *env, const struct relation *rel, const struct schema *schema,
                     uint64_t position, uint64_t hold_until, struct lake_table **ret, struct err *err) MUST_CHECK;
/* Can these columns be in a Delta table? ERR_UNSUPPORTED: two differ only by case. */
int lake_schema_check(const char *table, const struct schema *s, struct err *err) MUST_CHECK;
void lake_table_free(struct lake_table *t); /* takes NULL; forgets what is not committed */
DEFINE_FREEP(lake_table)

/* A data file that was written for a staged table (of a chunk of its snapshot). `parts`: its values (lake_partition.h). Takes
 * `stats`. */
void lake_table_adopt_file(struct lake_table *t, const char *path, uint32_t id, uint32_t rows, int64_t size,
                           const char *parts, char *stats);
/* The rows of a Parquet file replace those of the same keys; the file is deleted. Its columns are those of the relation. */
int lake_table_replace_rows(struct lake_table *t, const char *path, struct err *err) MUST_CHECK;
/* The relation as it will be from the next batch on; evolves the lake's schema. ERR_UNSUPPORTED: a change that cannot be followed. */
int lake_table_relation(struct lake_table *t, const struct relation *rel, const struct schema *schema,
                        struct err *err) MUST_CHECK;
int lake_table_apply(struct lake_table *t, struct batch *batch, struct err *err) MUST_CHECK; /* takes the batch */
int lake_table_truncate(struct lake_table *t, struct err *err) MUST_CHECK;
int lake_table_flush(struct lake_table *t, struct err *err) MUST_CHECK;
int lake_table_commit(struct lake_table *t, uint64_t lsn, struct err *err) MUST_CHECK;
/* Takes what the worker has done for the table, if that can be now: when nothing is left to commit. */
int lake_table_mind(struct lake_table *t, struct err *err) MUST_CHECK;
/* Waits for the worker first. */
int lake_table_finish(struct lake_table *t, struct err *err) MUST_CHECK;
/* Sets the table aside: later rows are dropped until it is copied anew. Copies the reason. */
void lake_table_quarantine(struct lake_table *t, const char *reason);

/* ---- inside sink/ ---- */

/* Makes t->index ready at the log's version, plus the pending files. */
int lake_index_ready(struct lake_table *t, struct err *err) MUST_CHECK;
/* An index that cannot hold so many equal rows is the table's own trouble: ERR_LIMIT becomes ERR_UNSUPPORTED. */
int lake_index_rc(const struct lake_table *t, int rc, struct err *err);
/* Forgets the index, file and all: the files that it names are gone, and their numbers might be given again. */
int lake_index_drop(struct lake_table *t, struct err *err) MUST_CHECK;
/* Adds the live rows of a file to the open index. */
int lake_index_add_file(struct lake_table *t, struct lake_file *f, struct err *err) MUST_CHECK;
/* Removes the entries of the live rows of a file from the open index. */
int lake_index_remove_file(struct lake_table *t, struct lake_file *f, struct err *err) MUST_CHECK;
/* Reconciles t->lake with the relation; sets t->schema_dirty and t->write. */
int lake_schema_evolve(struct lake_table *t, const struct relation *rel, const struct schema *source,
                       struct err *err) MUST_CHECK;
/* Gives the rows that are there the values of columns that `old` (NULL: a new table) did not have. ERR_UNSUPPORTED, and
 * t->stale, when only a new copy can. After t->rel, t->source and t->lake were set. */
int lake_backfill(struct lake_table *t, const struct schema *old, struct err *err) MUST_CHECK;
/* Did ALTER TABLE give rows other values than widening does? ERR_UNSUPPORTED then, and t->stale. `*ret_known`: it could be
 * told. After t->rel, t->source and t->lake were set; nothing is buffered. */
int lake_check_altered(struct lake_table *t, bool *ret_known, struct err *err) MUST_CHECK;
/* Sets t->stale and the error that goes with it. */
int lake_copy_anew(struct lake_table *t, struct str column, const char *why, struct err *err);
/* The same for the relation's column that may be another (relation.doubtful). */
int lake_cannot_tell(struct lake_table *t, const struct relation *rel, struct err *err);
enum { LAKE_PROPERTIES = 13 };
/* The table properties that are ours, put into `kv` (n used, LAKE_PROPERTIES more allocated). Returns how many there are. */
uint32_t lake_schema_properties(const struct lake_table *t, struct arena *arena, struct delta_kv *kv, uint32_t n);
bool lake_schema_has_ntz(const struct schema *s);
/* The metadata and protocol that t->lake needs, set on the transaction. */
int lake_schema_commit(struct lake_table *t, struct delta_tx *tx, struct err *err) MUST_CHECK;
/* Writes the live rows of files into a new one and dooms them. `changes_data`: part of an epoch (copy-on-write).
 * `constants`: by field of t->lake an SQL expression in place of the column, or NULL; NULL: none. */
int lake_rewrite(struct lake_table *t, const uint32_t *ids, size_t n, bool changes_data, char *const *constants,
                 struct err *err) MUST_CHECK;
/* What is buffered and known becomes one Delta commit, if there is anything. */
int lake_commit(struct lake_table *t, uint64_t lsn, struct err *err) MUST_CHECK;
int lake_commit_compaction(struct lake_table *t, struct err *err) MUST_CHECK;
/* Merges small files, and those with many masked rows, when it is worth it: between two epochs, as a commit of its own. With a
 * worker: gives it the work, or takes what it has done since. */
int lake_compact(struct lake_table *t, struct err *err) MUST_CHECK;
/* Writes a checkpoint when one is due; by the worker, if there is one. */
int lake_checkpoint(struct lake_table *t, struct err *err) MUST_CHECK;
void lake_table_stop_work(struct lake_table *t); /* of the worker for this table; what it did is thrown away */

/* Deletes files that no version within the retention needs, now and then. Right after a commit. */
int lake_vacuum(struct lake_table *t, struct err *err) MUST_CHECK;

#endif
