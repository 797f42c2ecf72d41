/*
 * `sluice sync`: PostgreSQL → Delta Lake, from the first copy on for ever. pipeline.c shows the whole path.
 */
#ifndef SLUICE_PIPELINE_SYNC_H
#define SLUICE_PIPELINE_SYNC_H

#include "base/err.h"
#include "base/str.h"

#include "sink/lake_table.h"

#include <stdatomic.h>

struct sync_options {
    const char *url;         /* of the source; a secret */
    const char *lake;        /* a folder */
    const char *state_dir;   /* NULL: <lake>/_sluice */
    const char *slot;        /* NULL: "sluice_" + 8 hex digits of the lake's path */
    const char *publication; /* NULL: the slot's name */
    const struct str *include, *exclude, *include_columns, *exclude_columns; /* patterns */
    size_t n_include, n_exclude, n_include_columns, n_exclude_columns;
    const struct str *resync; /* patterns of tables to copy anew */
    size_t n_resync;
    const struct str *copy_on_write; /* patterns of tables without deletion vectors */
    size_t n_copy_on_write;
    const struct str *change_feed; /* patterns of tables with a change data feed */
    size_t n_change_feed;
    const struct str *partition_by; /* patterns of columns that new tables are partitioned by */
    size_t n_partition_by;
    bool upgraded;             /* the source is another cluster, which pg_upgrade made of the one that was followed */
    bool once;                 /* stop when caught up with where the source was at the start */
    int64_t epoch_us;          /* most time between two commits of a busy table */
    size_t memory_bytes;       /* of the whole process, about */
    uint64_t spool_quota;      /* bytes on disk; 0 = no limit */
    unsigned copy_sessions;    /* parallel readers of the first copy */
    uint32_t chunk_blocks;     /* size of a chunk of the first copy, in pages of 8 kB; 0: by the table's */
    enum lake_changes history; /* sink/lake_history.h */
    bool no_compaction;
    bool no_heartbeat;
    bool binary; /* values in binary form: a little faster; a column added later with a type whose binary form we do not
                    read then sets its table aside */
    int stop_fd; /* an eventfd: written to when the process shall stop, and by sync_run when it ends */
};

void sync_options_default(struct sync_options *o);
/* Runs until stopped. Where another writer got in between (ERR_CONFLICT), everything is opened anew and goes on. `err` is
 * needed. */
int sync_run(const struct sync_options *o, struct err *err) MUST_CHECK;

#endif
