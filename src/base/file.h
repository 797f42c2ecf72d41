/* Files: whole reads, atomic durable replacement, directories. Paths are 0-terminated; errors name the path. */
#ifndef SLUICE_BASE_FILE_H
#define SLUICE_BASE_FILE_H

#include "base/buf.h"
#include "base/err.h"

#include <unistd.h>

static inline void file_closep(int *fd) /* CLEANUP(file_closep) int fd = -1; */
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Hands ownership of a descriptor to the caller: `x->fd = file_take(&fd);`. */
static inline int file_take(int *fd)
{
    int taken = *fd;

    *fd = -1;
    return taken;
}

/* Appends the whole file to `ret`, which bounds it by its max (ERR_LIMIT). */
int file_read(const char *path, struct buf *ret, struct err *err) MUST_CHECK;
/* Writes all n bytes to fd; `path` is for the message. */
int file_write_all(int fd, const void *p, size_t n, const char *path, struct err *err) MUST_CHECK;
/* Replaces the file durably: temporary file in the same folder, fsync, rename, fsync of the folder. */
int file_replace(const char *path, const void *p, size_t n, struct err *err) MUST_CHECK;
int file_sync(const char *path, struct err *err) MUST_CHECK;        /* fsync of a file's data and size */
int file_sync_dir(const char *path, struct err *err) MUST_CHECK;    /* fsync of a folder: its names are durable */
int file_make_dirs(const char *path, struct err *err) MUST_CHECK;   /* like mkdir -p */
int file_remove_tree(const char *path, struct err *err) MUST_CHECK; /* like rm -rf; a missing path is fine */
bool file_exists(const char *path);
int64_t file_size(const char *path); /* -1 when there is none */

#endif
