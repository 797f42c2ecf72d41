/* Durable file operations on the local system. */
#include "base/file.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>

int file_read(const char *path, struct buf *ret, struct err *err)
{
    CLEANUP(file_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st))
        return err_set_errno(err, "cannot read %s", path);
    size_t want = S_ISREG(st.st_mode) ? (size_t)st.st_size + 1 : 65536;
    for (;;) {
        char *to = buf_reserve(ret, want);
        if (!to && ret->max && S_ISREG(st.st_mode) && ret->n + want - 1 <= ret->max)
            to = buf_reserve(ret, --want); /* exactly at the limit: the end is found by the next read */
        if (!to)
            return err_set(err, ERR_LIMIT, "%s is larger than %zu bytes", path, ret->max);
        ssize_t n = want ? read(fd, to, want) : 0;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_set_errno(err, "cannot read %s", path);
        if (n == 0)
            break;
        ret->n += (size_t)n;
        ret->p[ret->n] = 0;
        want = ret->max ? MIN(65536, ret->max - ret->n) : 65536;
    }
    return 0;
}

int file_write_all(int fd, const void *p, size_t n, const char *path, struct err *err)
{
    const char *at = p;

    while (n) {
        ssize_t w = write(fd, at, n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0)
            return err_set_errno(err, "cannot write %s", path);
        at += w;
        n -= (size_t)w;
    }
    return 0;
}

/* The folder of a path, in memory of the caller. */
static char *dir_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (!slash)
        return mem_strdup(".");
    return mem_strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

/* A fresh file beside `path` with the content on disk. Its name starts with a dot, so that no reader lists it. */
static int write_beside(const char *path, const void *p, size_t n, char **ret, struct err *err)
{
    static atomic_uint serial;
    CLEANUP(mem_freep) char *dir = dir_of(path);
    CLEANUP(mem_freep)
    char *tmp = mem_printf("%s/.tmp-%d-%u", dir, (int)getpid(), atomic_fetch_add(&serial, 1));
    CLEANUP(file_closep) int fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);

    if (fd < 0)
        return err_set_errno(err, "cannot create a file in %s", dir);
    int rc = file_write_all(fd, p, n, path, err);
    if (rc == 0 && fsync(fd))
        rc = err_set_errno(err, "cannot write %s", path);
    if (rc < 0) {
        unlink(tmp);
        return rc;
    }
    *ret = TAKE_PTR(tmp);
    return 0;
}

static int sync_dir_of(const char *path, struct err *err)
{
    CLEANUP(mem_freep) char *dir = dir_of(path);

    return file_sync_dir(dir, err);
}

int file_replace(const char *path, const void *p, size_t n, struct err *err)
{
    CLEANUP(mem_freep) char *tmp = NULL;

    TRY(write_beside(path, p, n, &tmp, err));
    if (rename(tmp, path)) {
        int rc = err_set_errno(err, "cannot replace %s", path);
        unlink(tmp);
        return rc;
    }
    return sync_dir_of(path, err);
}

static int sync_path(const char *path, int flags, struct err *err)
{
    CLEANUP(file_closep) int fd = open(path, flags | O_CLOEXEC);

    if (fd < 0 || fsync(fd))
        return err_set_errno(err, "cannot sync %s", path);
    return 0;
}

int file_sync(const char *path, struct err *err)
{
    return sync_path(path, O_RDONLY, err);
}

int file_sync_dir(const char *path, struct err *err)
{
    return sync_path(path, O_RDONLY | O_DIRECTORY, err);
}

int file_make_dirs(const char *path, struct err *err)
{
    CLEANUP(mem_freep) char *copy = mem_strdup(path);

    for (char *p = copy + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = 0;
        if (mkdir(copy, 0777) && errno != EEXIST)
            return err_set_errno(err, "cannot create folder %s", copy);
        *p = '/';
    }
    if (mkdir(copy, 0777) && errno != EEXIST)
        return err_set_errno(err, "cannot create folder %s", copy);
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path) && errno != ENOENT ? -1 : 0;
}

int file_remove_tree(const char *path, struct err *err)
{
    if (nftw(path, remove_one, 32, FTW_DEPTH | FTW_PHYS) && errno != ENOENT)
        return err_set_errno(err, "cannot remove %s", path);
    return 0;
}

bool file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

int64_t file_size(const char *path)
{
    struct stat st;

    return stat(path, &st) ? -1 : (int64_t)st.st_size;
}
