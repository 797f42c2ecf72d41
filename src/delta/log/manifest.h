/*
 * Symlink manifests: text files that name a table's data files, one manifest a partition, for readers that know no Delta
 * (Presto, Athena, Hive's SymlinkTextInputFormat).
 *
 *     _symlink_format_manifest/manifest            file:/lake/t/part-1.parquet
 *     _symlink_format_manifest/day=2024-01-02/manifest
 *
 * GENERATE writes them once, the property delta.compatibility.symlinkFormatManifest.enabled after each commit.
 */
#ifndef SLUICE_DELTA_MANIFEST_H
#define SLUICE_DELTA_MANIFEST_H

#include "delta/log/snapshot.h"
#include "store/store.h"

#define DELTA_MANIFEST_PROPERTY "delta.compatibility.symlinkFormatManifest.enabled"

/*
 * Writes the manifests of the snapshot, and removes those of partitions that it does not have. ERR_UNSUPPORTED: the table has
 * what such a reader cannot know of, deletion vectors or column mapping.
 */
int delta_manifest_write(struct store *store, const struct delta_snapshot *s, struct err *err) MUST_CHECK;
/* The same after a commit, where the property is set. On an error the version is there and its manifests are not, which
 * the error says. */
int delta_manifest_follow(struct store *store, const struct delta_snapshot *s, struct err *err) MUST_CHECK;

#endif
