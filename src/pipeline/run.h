/* The state of a running sync, shared by the files of this folder; all of it belongs to the apply thread. */
#ifndef SLUICE_PIPELINE_RUN_H
#define SLUICE_PIPELINE_RUN_H

#include "pipeline/apply.h"
#include "pipeline/barrier.h"
#include "pipeline/copy.h"
#include "pipeline/progress.h"
#include "pipeline/receive.h"
#include "pipeline/snapshot.h"
#include "pipeline/state.h"
#include "pipeline/sync.h"
#include "sink/delta_sink.h"
#include "sink/lake_worker.h"
#include "source/pg_check.h"
#include "source/pg_publication.h"
#include "source/pg_slot.h"

enum { SYNC_LOOK_US = 5000000 }; /* how often the tables of the source are looked at */

struct sync {
    const struct sync_options *o;
    char *state_dir, *app_id;
    struct pg_filter filter;
    struct pg_conn *conn; /* for catalog questions; reopened when lost */
    struct engine *engine;
    struct engine_conn *engine_conn;
    struct lake_worker *worker; /* merges files and writes checkpoints */
    struct lake_env env;
    struct delta_sink *sink;
    struct pg_epoch *epoch;
    struct spool *spool;
    struct state state;
    struct receive receive;
    struct apply apply;
    struct snapshot *snapshot; /* what the tables that are TABLE_COPYING wait for; NULL: nothing, or `copy` has it */
    struct copy_job *copy;
    struct progress progress;
    struct barrier barrier;
    uint64_t target_lsn; /* --once: where the source was at the start */
    size_t n_suspects;   /* tables of which only the stream, as it goes on, tells whether they are to be copied anew */
    uint64_t applied;    /* every streaming table has everything up to here, committed */
    uint64_t read_lsn;   /* the last transaction read from the spool, and … */
    uint64_t read_end_lsn;    /* … its end */
    uint64_t trim_lsn;        /* end of the last transaction that is committed everywhere */
    uint64_t gone_lsn;        /* rows of partitions leave the lake there (gone.c); 0: none do */
    uint64_t snapshot_lsn;    /* the snapshot that is asked for stands there or later */
    uint64_t changes_at_rest; /* when memory was last given back */
    int64_t epoch_us;         /* when the first transaction of the open epoch was begun to read */
    int64_t last_commit_us, last_remember_us, next_look_us;
    bool state_dirty;
    bool copied;       /* a copy was begun: a table that changes under it is no error of the user's */
    bool looked;       /* the tables of the start were chosen: --resync is done with */
    bool caught_up;    /* --once: all is done */
    bool told_of_full; /* that copies are put off, since the server has no room for a snapshot */
    bool told_of_lock; /* that looks are put off, since a table is locked */
    bool told_of_wait; /* that transactions at the source hold the snapshot up */
};

/* ---- ask.c: questions to the catalog ---- */

bool sync_is_stopping(const struct sync *s);

enum sync_patience { SYNC_QUICK, SYNC_PATIENT }; /* with locks of others: while tables follow, and before */

/* Opens the catalog connection if it is not open. */
int sync_connect(struct sync *s, enum sync_patience patience, struct err *err) MUST_CHECK;
/* Somebody has locked a table. */
bool sync_is_locked(const struct err *err);
/* Returns rc; where it is because of a lock, the error says who has it. `err` is needed. */
int sync_told_who_locks(struct sync *s, int rc, struct err *err) MUST_CHECK;
/* Runs `ask` on the catalog connection, which is opened again when it was lost; waits while the server is away. sync_ask() also
 * waits while a table is locked. */
int sync_ask_once(struct sync *s, int (*ask)(struct sync *s, void *arg, struct err *err), void *arg,
                  struct err *err) MUST_CHECK;
int sync_ask(struct sync *s, int (*ask)(struct sync *s, void *arg, struct err *err), void *arg,
             struct err *err) MUST_CHECK;

/* ---- follow.c: which tables follow, and which are set aside ---- */

/* What became of tables since: shown, quarantined. */
void sync_note_tables(struct sync *s);
/* A table that is followed cannot be any more; `t` may be NULL. */
void sync_set_aside(struct sync *s, struct lake_table *t, const char *reason);
/* The next look is not later than in so long. */
void sync_look_soon(struct sync *s, int64_t us);

/* ---- upgrade.c: the source went through pg_upgrade ---- */

/* Where pg_upgrade made another cluster of the source, and we are told so: goes on with it. Before the publication is looked at. */
int sync_follow_upgrade(struct sync *s, uint64_t system_id, const struct pg_tables *tables, struct err *err) MUST_CHECK;

/* ---- names.c: tables that were renamed, dropped or made again ---- */

/* Ends renames that a kill cut short. Before the tables are opened. */
int sync_recover_names(struct sync *s, struct err *err) MUST_CHECK;
/* Folders follow the names that the stream has shown. Just after a commit. */
int sync_follow_names(struct sync *s, struct err *err) MUST_CHECK;
/* Tables whose name another one has now make way; at the start, folders follow the catalog. No epoch is open. */
int sync_follow_catalog(struct sync *s, const struct pg_tables *tables, struct err *err) MUST_CHECK;
/* Why a table of this name cannot be in the lake, or NULL. */
const char *sync_bad_name(struct str schema, struct str name);

/* ---- epoch.c ---- */

bool sync_epoch_is_open(const struct sync *s); /* something was read of the spool that is not committed */
int sync_commit_epoch(struct sync *s, struct err *err) MUST_CHECK;

/* ---- partitions.c: partitions that come and go ---- */

/* An entry of a list of partitions (relation.h). What a list of an older version lacks is 0. */
struct leaf {
    uint64_t oid, file, link, xid, pages;
};

/* Sets `moved` of tables whose partitions took rows along as they were attached or detached, or lost them alone; counts in
 * `n_suspects` those of which the stream tells yet. No epoch is open. */
int sync_mind_partitions(struct sync *s, const struct pg_tables *tables, struct err *err) MUST_CHECK;

/* ---- gone.c: rows of partitions that are gone ---- */

enum gone_answer {
    GONE_NOTED,  /* they leave the lake at a position to come */
    GONE_LATER,  /* it cannot be told yet: ask again soon */
    GONE_UNSURE, /* it cannot be told: the table is to be copied anew */
};
/* Leaves as the table's list has them that belong to it no more, and then those that were emptied. */
struct gone_leaves {
    struct leaf *v;
    size_t n, n_detached, cap;
    const struct leaf *list; /* all of the list */
    size_t n_list;
};
/* Can their rows be told from the others, and has the source none of them now? Sets `gone` of the table. No epoch is open. */
int sync_note_gone(struct sync *s, struct state_table *st, const struct relation *r, const struct gone_leaves *leaves,
                   enum gone_answer *ret, struct err *err) MUST_CHECK;
/* Keeps the bounds of the table's partitions, as they are. */
int sync_note_bounds(struct sync *s, struct state_table *st, struct err *err) MUST_CHECK;
/* Has them leave, where that is due before a transaction that commits at `lsn`; commits the epoch first. */
int sync_drop_leaves(struct sync *s, uint64_t lsn, struct err *err) MUST_CHECK;
/* Sets `gone_lsn` to what the tables have. */
void sync_find_gone(struct sync *s);

/* ---- published.c: the publication is altered ---- */

/* Sets `moved` of tables of which the publication may not have sent every change. ERR_REFUSED when it is lost. No epoch is open. */
int sync_mind_publication(struct sync *s, const struct pg_tables *tables, struct err *err) MUST_CHECK;

/* ---- tables.c: tables come in ---- */

/* Opens the tables that follow already. */
int sync_open_tables(struct sync *s, struct err *err) MUST_CHECK;
/* Starts to copy the tables that are chosen and not in the lake, in the snapshot (taken), or as soon as there is one (NULL). */
int sync_start_copy(struct sync *s, const struct pg_tables *tables, struct snapshot *snapshot,
                    struct err *err) MUST_CHECK;
/* Starts the copy when its snapshot is there. */
int sync_mind_snapshot(struct sync *s, struct err *err) MUST_CHECK;
/* Says who holds a snapshot up, once it takes long. */
int sync_tell_of_wait(struct sync *s, const struct snapshot *snapshot, struct err *err) MUST_CHECK;
/* A table that was dropped or altered between the catalog and the snapshot: ERR_CONFLICT, so that everything is looked
 * at anew. `err` is needed. */
int sync_copy_rc(int rc, struct err *err);
/* Takes in the tables of a copy that is done, and rewinds the spool for them. */
int sync_finish_copy(struct sync *s, struct err *err) MUST_CHECK;
/* Looks now and then whether tables were added at the source. */
int sync_look_for_tables(struct sync *s, struct err *err) MUST_CHECK;

/* ---- prepare.c: everything before the first change ---- */
int sync_prepare(struct sync *s, struct err *err) MUST_CHECK;

#endif
