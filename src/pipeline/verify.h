/*
 * `sluice verify`: are source and lake equal, at one position, while the source goes on changing?
 *
 *   verify.c          one position: a snapshot of the source at LSN L, and for each table the version of the lake that has
 *                     exactly the transactions that committed before L (barrier.h while a sync runs)
 *   verify_read.c     the rows of both sides as batches of the same columns
 *   verify_compare.c  row counts and checksums; where they differ, the keys and columns that do
 */
#ifndef SLUICE_PIPELINE_VERIFY_H
#define SLUICE_PIPELINE_VERIFY_H

#include "base/err.h"
#include "base/str.h"

#include <stdio.h>

struct verify_options {
    const char *url;       /* of the source; a secret */
    const char *lake;      /* a folder */
    const char *state_dir; /* NULL: <lake>/_sluice */
    const struct str *include;
    size_t n_include;   /* patterns; 0: every table that the sync follows */
    int64_t timeout_us; /* for the lake to come to a position, not for the comparison */
    uint32_t limit;     /* differing keys listed a table */
    FILE *out;          /* the report */
};

/* ERR_CHECK: there is a difference, or a table is quarantined. ERR_REFUSED: they cannot be compared now (behind, no sync). */
int verify_run(const struct verify_options *o, struct err *err) MUST_CHECK;

#endif
