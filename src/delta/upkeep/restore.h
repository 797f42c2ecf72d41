/* Whole-table upkeep that users ask for by name: RESTORE and VACUUM. */
#ifndef SLUICE_DELTA_RESTORE_H
#define SLUICE_DELTA_RESTORE_H

#include "delta/log/table.h"

struct delta_restored {
    int64_t version; /* of the commit; the current one when the table was like that already */
    uint64_t files_restored, files_removed;
    int64_t bytes_restored, bytes_removed;
};
/* Makes the table what it was at `version`, as a new version: rows, columns, properties (the protocol stays). `asked` is the
 * time that the user named, or empty. ERR_NOT_FOUND: that version, or a data file of it, is gone. */
int delta_restore(struct delta_table *t, int64_t version, struct str asked, struct delta_restored *ret,
                  struct err *err) MUST_CHECK;

struct delta_vacuumed {
    uint64_t files; /* deleted, or to be deleted in a dry run */
    int64_t bytes;
    struct arena arena; /* of the paths */
    struct str *paths;  /* dry run only */
    size_t cap;
};
void delta_vacuumed_deinit(struct delta_vacuumed *v);
struct delta_vacuum {
    int64_t retain_ms;  /* -1: the table's delta.deletedFileRetentionDuration */
    bool any_retention; /* less than that is not refused */
    bool lite, dry_run;
    const struct store_list *inventory; /* NULL, or what there is in the folder: it is not listed */
};
/*
 * Deletes files in the table's folder that no version younger than the retention needs. One that is shorter than the table's
 * own is ERR_USAGE (readers and writers of older versions would break).
 * Folders that begin with '_' or '.' are left alone, but for _change_data. `lite`: the folder is not listed, and only the files are
 * looked at of which the log says that they were removed; what a failed writer left stays.
 */
int delta_vacuum(struct delta_table *t, const struct delta_vacuum *how, struct delta_vacuumed *ret,
                 struct err *err) MUST_CHECK;

#endif
