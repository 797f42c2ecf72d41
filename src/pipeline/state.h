/*
 * What a sync must remember besides the lake itself: <state>/state.json, replaced as a whole and durably.
 *
 *   {"version":1,"system_id":"7512…","slot":"sluice_1a2b3c4d","publication":"sluice_1a2b3c4d",
 *    "publication_oid":16390,"start":"0/1A2B3C","applied":"0/1A2B80",
 *    "tables":[{"oid":16385,"schema":"public","name":"orders","state":"streaming"}, …]}
 *
 * A table's schema and name are those of its folder in the lake. It may also have "reason", "mark", "leaves", "bounds", "gone",
 * "gone_lsn", "gone_until", "gone_timeline" and "was":["schema","name"].
 *
 * Positions of tables stand in the tables (txn actions); `applied` is for those without changes of late: every table in state
 * "streaming" has all changes of transactions that committed at or before it.
 */
#ifndef SLUICE_PIPELINE_STATE_H
#define SLUICE_PIPELINE_STATE_H

#include "base/arena.h"
#include "base/err.h"

enum table_state {
    TABLE_NEW,         /* chosen, not copied yet */
    TABLE_COPYING,     /* see copy.h */
    TABLE_STREAMING,   /* in the lake, follows */
    TABLE_QUARANTINED, /* set aside, `reason` */
};

struct state_table {
    uint32_t oid;
    struct str schema, name;
    enum table_state state;
    bool append_only; /* it had no replica identity when it was chosen: the lake gets its new rows only */
    struct str reason;
    struct str mark;   /* what publishes it (relation.h), as it was when it was last looked at; {0}: not known */
    struct str leaves; /* the partitions that were there when it was last looked at (relation.h); {0}: not known */
    struct str bounds; /* of those leaves (source/pg_partitions.h); {0}: not known */
    /* Leaves whose rows are to leave the lake: a letter for histories (sink/lake_gone.h) and their entries in `bounds`; the position at
     * which they do (0: there are none), and one by which it was known that the source has no such rows (pipeline/gone.c). */
    struct str gone;
    uint64_t gone_lsn, gone_until;
    uint32_t gone_timeline; /* of the position; 0: not known */
    unsigned gone_tries;    /* looks in a row that others' transactions kept from telling; not kept in the file */
    unsigned put_off;       /* copies of it in a row that it changed under; not kept in the file */
    /* `leaves` as they were when a file of them was another, which the stream may explain yet, and where it will have come by
     * then. Not kept in the file. */
    struct str suspect;
    uint64_t suspect_lsn;
    /* Why its rows are others than the stream says (partitions.c, published.c); not kept in the file. */
    const char *moved;
    struct str was_schema, was_name; /* not empty: the folder is about to be renamed from this (pipeline/names.c) */
};

struct state {
    struct arena arena;
    char *path;
    uint64_t system_id;   /* of the cluster that was copied; it stands in every table's log */
    uint64_t upgraded_id; /* of the one that pg_upgrade made of it; 0: none */
    char slot[64], publication[64];
    bool history_only;        /* the tables hold changes instead of the current state: sink/lake_history.h */
    bool inserts;             /* the slot may be read with the publication for tables without an identity as well */
    uint32_t publication_oid; /* 0: not known */
    uint64_t start;           /* where the slot began: its consistent point; 0 = no slot yet */
    uint64_t applied;         /* see above */
    struct state_table *tables;
    size_t n_tables, cap_tables;
};

/* Reads the state, or leaves it empty when there is none. ERR_INPUT names the file when it is broken. */
int state_load(struct state *s, const char *state_dir, struct err *err) MUST_CHECK;
int state_save(const struct state *s, struct err *err) MUST_CHECK;
void state_deinit(struct state *s);
struct state_table *state_find(struct state *s, uint32_t oid); /* or NULL */
/* Copies the names. The pointer is good until the next add. */
struct state_table *state_add(struct state *s, uint32_t oid, struct str schema, struct str name);
void state_remove(struct state *s, uint32_t oid); /* pointers to other tables are no good any more */
void state_set_reason(struct state *s, struct state_table *t, const char *reason);
const char *table_state_name(enum table_state st);
/* The system identifier of the cluster that is followed now. */
uint64_t state_cluster(const struct state *s);
/* The folder of a lake's state: `state_dir`, or <lake>/_sluice when it is NULL. Free with mem_free. */
char *state_dir_of(const char *lake, const char *state_dir);
/* Where a table's txn actions have our position: "sluice/<system id>/<slot>". Free with mem_free. */
char *state_app_id(const struct state *s);

#endif
