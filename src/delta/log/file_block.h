/*
 * A run of files that is kept compressed until one of them is wanted, and whose statistics stay compressed after that: of
 * a checkpoint with hundreds of thousands of files, most are only counted, and statistics are looked at one after the other.
 *
 *   numbers  of each file its sizes and times, short        made entries by file_block_open(), once
 *   paths    text of path (and raw_path), 0-terminated      decompressed then, and kept
 *   stats    JSON text of all, one behind the other         decompressed by each delta_stats_reader that comes along
 */
#ifndef SLUICE_DELTA_FILE_BLOCK_H
#define SLUICE_DELTA_FILE_BLOCK_H

#include "codec/delta_action.h"

enum { FILE_BLOCK = 256, FILE_BLOCK_STATS_MAX = 1 << 20 };

struct file_block;
struct file_packer; /* what compression needs, for block after block */

struct file_image {
    struct delta_file file;
    int64_t added_at;
};

struct file_packer *file_packer_new(void);
void file_packer_free(struct file_packer *p); /* takes NULL */

struct file_block *file_block_new(struct file_packer *p);
void file_block_free(struct file_block *b); /* takes NULL; its files are then gone */
uint32_t file_block_count(const struct file_block *b);
/* Before it is packed, up to FILE_BLOCK of them, with at most FILE_BLOCK_STATS_MAX of stats each. Copies path, raw_path and
 * stats, which are text; all else that the file points to must outlive the block. */
void file_block_add(struct file_block *b, const struct delta_file *f, int64_t added_at);
void file_block_pack(struct file_block *b, struct file_packer *p);
/* The files, to be freed (mem_free): their paths live as long as the block, their stats are packed (delta_file.packed). Packed
 * or not; once. */
struct file_image *file_block_open(struct file_block *b);

/* Reads statistics of files, of a snapshot or not. `{0}` is valid. */
struct delta_stats_reader {
    uint64_t block; /* whose text is here; 0: none */
    struct buf text;
};
void delta_stats_reader_deinit(struct delta_stats_reader *r);
/* The file's statistics as JSON text, empty when there are none: borrowed from the file, or valid until the next call. Files
 * in their order cost one decompression for FILE_BLOCK of them. */
struct str delta_stats_read(struct delta_stats_reader *r, const struct delta_file *f);

#endif
