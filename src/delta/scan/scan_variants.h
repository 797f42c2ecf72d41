/* What a scan does about the variants of its files: see enum delta_variants. */
#ifndef SLUICE_DELTA_SCAN_VARIANTS_H
#define SLUICE_DELTA_SCAN_VARIANTS_H

#include "delta/log/snapshot.h"
#include "store/store.h"

struct scan_variants {
    char **copies;         /* a file: the path of a copy without annotations that is read in its stead, or NULL */
    bool bare;             /* all variants are structs */
    const char *copies_in; /* see struct delta_scan_options */
};

/* `all`: of all files that have variants, if none of them is shredded; else of those that may have a null of JSON. */
int scan_variants_load(struct scan_variants *v, struct store *store, const struct delta_file *const *files, uint32_t n,
                       bool all, struct err *err) MUST_CHECK;
/* Deletes the copies. */
void scan_variants_deinit(struct scan_variants *v, uint32_t n);
/* The same table with structs for variants. */
int scan_bare_head(const struct delta_head *head, struct delta_head **ret, struct err *err) MUST_CHECK;

#endif
