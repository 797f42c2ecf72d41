/*
 * A store in a folder: a key is a path under it. Writes go through a temporary file, fsync, rename or link, fsync of the
 * folder. Folders are made as they are needed, and are made durable too.
 *
 * What store_put_soon() writes waits for put_if_absent(), which is how a commit of the log comes to be:
 *
 *   data files, deletion vectors, the commit under a temporary name: begin to write all, then fsync each; fsync their
 *   folders; link the commit's name, fsync its folder
 *
 * Whatever order the disk writes in, a name in the log stands for a whole commit whose files are whole. All that is
 * new before the link goes into one commit of the file system's journal, where an fsync after each write took one each.
 */
#include "store/store.h"

#include "base/file.h"
#include "base/mem.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>

enum { UNSYNCED_MAX = 64 }; /* files held open; more are synced as they come */

/* A file that is written, but perhaps not on disk. */
struct unsynced {
    int fd;
    char *path;
};

struct store_local {
    struct store base;
    char *root;            /* absolute */
    pthread_mutex_t mutex; /* of what follows */
    struct unsynced soon[UNSYNCED_MAX + 1];
    size_t n_soon;
    bool lost; /* a sync failed: what it was about may be gone, and asking again would not tell */
};

static char *path_of(struct store *s, const char *key)
{
    return key[0] == '/' ? mem_strdup(key) : mem_printf("%s/%s", ((struct store_local *)s)->root, key);
}

static int local_get(struct store *s, const char *key, struct buf *ret, struct err *err)
{
    CLEANUP(mem_freep) char *path = path_of(s, key);

    return file_read(path, ret, err);
}

static int64_t mtime_ms(const struct stat *st)
{
    return (int64_t)st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000;
}

static int local_head(struct store *s, const char *key, int64_t *ret_size, int64_t *ret_time_ms, struct err *err)
{
    CLEANUP(mem_freep) char *path = path_of(s, key);
    struct stat st;

    if (stat(path, &st))
        return err_set_errno(err, "cannot look at %s", path);
    *ret_size = st.st_size;
    *ret_time_ms = mtime_ms(&st);
    return 0;
}

/* Makes the folders of a path, each durable in the one above it. */
static int make_folder_of(const char *path, struct err *err)
{
    CLEANUP(mem_freep) char *dir = mem_strndup(path, (size_t)(strrchr(path, '/') - path));

    if (!dir[0] || file_exists(dir))
        return 0;
    TRY(make_folder_of(dir, err));
    if (mkdir(dir, 0777) && errno != EEXIST)
        return err_set_errno(err, "cannot create folder %s", dir);
    CLEANUP(mem_freep) char *parent = mem_strndup(dir, (size_t)(strrchr(dir, '/') - dir));
    return file_sync_dir(parent[0] ? parent : "/", err);
}

static int local_put(struct store *s, const char *key, struct str bytes, struct err *err)
{
    CLEANUP(mem_freep) char *path = path_of(s, key);

    TRY(make_folder_of(path, err));
    return file_replace(path, bytes.p, bytes.n, err);
}

/* ---- put soon, and the commit that waits for it ---- */

static void unsynced_close(struct unsynced *f)
{
    close(f->fd);
    mem_free(f->path);
}

static int write_new(const char *path, struct str bytes, struct unsynced *ret, struct err *err)
{
    CLEANUP(file_closep) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);

    if (fd < 0)
        return err_set_errno(err, "cannot create a file in %.*s", (int)(strrchr(path, '/') - path), path);
    int rc = file_write_all(fd, bytes.p, bytes.n, path, err);
    if (rc < 0) {
        unlink(path);
        return rc;
    }
    *ret = (struct unsynced){file_take(&fd), mem_strdup(path)};
    return 0;
}

static char *folder_of(const char *path)
{
    return mem_strndup(path, (size_t)(strrchr(path, '/') - path));
}

/* Starting all before waiting for one lets the journal take them together. */
static int sync_files(const struct unsynced *files, size_t n, struct err *err)
{
    for (size_t i = 0; i < n; i++)
        (void)sync_file_range(files[i].fd, 0, 0, SYNC_FILE_RANGE_WRITE); /* a hint: fsync is what counts */
    for (size_t i = 0; i < n; i++)
        if (fsync(files[i].fd))
            return err_set_errno(err, "cannot write %s", files[i].path);
    return 0;
}

/* The files' names. */
static int sync_folders(const struct unsynced *files, size_t n, struct err *err)
{
    CLEANUP(mem_freep) char *synced = NULL;

    for (size_t i = 0; i < n; i++) {
        char *dir = folder_of(files[i].path);
        bool again = synced && strcmp(synced, dir) == 0;
        mem_free(synced);
        synced = dir;
        if (!again)
            TRY(file_sync_dir(dir, err));
    }
    return 0;
}

/* All that waits; and `last` (may be NULL), but for its name, which is temporary. */
static int sync_soon(struct store_local *l, const struct unsynced *last, struct err *err)
{
    int rc = 0;

    pthread_mutex_lock(&l->mutex);
    if (l->lost)
        rc = err_set(err, ERR_IO, "an earlier write to %s failed", l->root);
    if (last)
        l->soon[l->n_soon] = *last;
    if (rc == 0)
        rc = sync_files(l->soon, l->n_soon + (last != NULL), err);
    if (rc == 0)
        rc = sync_folders(l->soon, l->n_soon, err);
    l->lost |= rc != 0 && l->n_soon;
    for (size_t i = 0; i < l->n_soon; i++)
        unsynced_close(&l->soon[i]);
    l->n_soon = 0;
    pthread_mutex_unlock(&l->mutex);
    return rc;
}

static int local_put_soon(struct store *s, const char *key, struct str bytes, struct err *err)
{
    CLEANUP(mem_freep) char *path = path_of(s, key);
    struct store_local *l = (struct store_local *)s;
    struct unsynced file;

    TRY(make_folder_of(path, err));
    TRY(write_new(path, bytes, &file, err));
    pthread_mutex_lock(&l->mutex);
    l->soon[l->n_soon++] = file;
    bool full = l->n_soon == UNSYNCED_MAX;
    pthread_mutex_unlock(&l->mutex);
    return full ? sync_soon(l, NULL, err) : 0;
}

static int local_put_if_absent(struct store *s, const char *key, struct str bytes, struct err *err)
{
    static atomic_uint serial;
    CLEANUP(mem_freep) char *path = path_of(s, key), *dir = folder_of(path);
    CLEANUP(mem_freep)
    char *tmp = mem_printf("%s/.tmp-%d-%u.put", dir, (int)getpid(), atomic_fetch_add(&serial, 1));
    struct unsynced file;

    TRY(make_folder_of(path, err));
    (void)unlink(tmp); /* of a process that had our number before */
    TRY(write_new(tmp, bytes, &file, err));
    int rc = sync_soon((struct store_local *)s, &file, err);
    if (rc == 0 && link(tmp, path)) /* unlike rename, fails when the name is taken */
        rc = err_set_errno(err, "cannot create %s", path);
    unlink(tmp);
    unsynced_close(&file);
    return rc ? rc : file_sync_dir(dir, err);
}

static int list_dir(struct store *s, const char *dir, const char *start_after, bool recursive, struct store_list *ret,
                    struct err *err)
{
    CLEANUP(mem_freep) char *path = path_of(s, dir);
    DIR *d = opendir(path);
    int rc = 0;

    if (!d)
        return errno == ENOENT || errno == ENOTDIR ? 0 : err_set_errno(err, "cannot list %s", path);
    for (struct dirent *e; rc == 0 && (errno = 0, e = readdir(d));) {
        struct stat st;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        CLEANUP(mem_freep) char *key = dir[0] ? mem_printf("%s/%s", dir, e->d_name) : mem_strdup(e->d_name);
        if (e->d_type == DT_REG && start_after && strcmp(key, start_after) <= 0)
            continue;
        if (fstatat(dirfd(d), e->d_name, &st, 0)) {
            if (errno != ENOENT) /* gone meanwhile */
                rc = err_set_errno(err, "cannot look at %s/%s", path, e->d_name);
        } else if (S_ISDIR(st.st_mode)) {
            rc = recursive ? list_dir(s, key, start_after, true, ret, err) : 0;
        } else if (!start_after || strcmp(key, start_after) > 0) {
            store_list_add(ret, key, st.st_size, mtime_ms(&st));
        }
    }
    if (rc == 0 && errno)
        rc = err_set_errno(err, "cannot list %s", path);
    closedir(d);
    return rc;
}

static int local_remove(struct store *s, const char *key, struct err *err)
{
    CLEANUP(mem_freep) char *path = path_of(s, key);

    if (unlink(path) && errno != ENOENT)
        return err_set_errno(err, "cannot remove %s", path);
    return 0;
}

static int local_adopt(struct store *s, const char *local_path, const char *key, struct err *err)
{
    CLEANUP(mem_freep) char *path = path_of(s, key);
    CLEANUP(mem_freep) char *dir = mem_strndup(path, (size_t)(strrchr(path, '/') - path));
    /* What the log names later may have its name before it is on disk: renamed first, file and folder are durable by
     * one commit of the file system's journal instead of two. A checkpoint is found by its name alone. */
    bool in_log = strncmp(key, "_delta_log/", 11) == 0;
    int rc = in_log ? file_sync(local_path, err) : 0;

    if (rc == 0)
        rc = make_folder_of(path, err);
    if (rc == 0 && rename(local_path, path))
        rc = err_set_errno(err, "cannot move %s to %s", local_path, path);
    if (rc) {
        unlink(local_path);
        return rc;
    }
    if (!in_log)
        TRY(file_sync(path, err));
    return file_sync_dir(dir, err);
}

/* A hidden name in the root: on the same file system, and no reader nor vacuum takes it for data. */
static void local_temp_path(struct store *s, const char *suffix, struct buf *ret)
{
    static atomic_uint serial;
    CLEANUP(mem_freep)
    char *path = mem_printf("%s/.tmp-%d-%u%s", ((struct store_local *)s)->root, (int)getpid(),
                            atomic_fetch_add(&serial, 1), suffix);

    buf_add_cstr(ret, path);
    if (!file_exists(((struct store_local *)s)->root) && file_make_dirs(((struct store_local *)s)->root, NULL))
        return; /* the write that follows says what is wrong */
}

static void local_engine_path(struct store *s, const char *key, struct buf *ret)
{
    CLEANUP(mem_freep) char *path = path_of(s, key);

    buf_add_cstr(ret, path);
}

static void local_free(struct store *s)
{
    struct store_local *l = (struct store_local *)s;

    for (size_t i = 0; i < l->n_soon; i++)
        unsynced_close(&l->soon[i]);
    pthread_mutex_destroy(&l->mutex);
    mem_free(l->root);
    mem_free(s);
}

static const struct store_ops local_ops = {
    .get = local_get,
    .head = local_head,
    .put = local_put,
    .put_soon = local_put_soon,
    .put_if_absent = local_put_if_absent,
    .list = list_dir,
    .remove = local_remove,
    .adopt = local_adopt,
    .temp_path = local_temp_path,
    .engine_path = local_engine_path,
    .free = local_free,
};

struct store *store_local_new(const char *root)
{
    struct store_local *s = MEM_NEW(struct store_local);
    char *cwd = root[0] == '/' ? NULL : getcwd(NULL, 0);

    s->base = (struct store){.ops = &local_ops, .refs = 1};
    pthread_mutex_init(&s->mutex, NULL);
    s->root = cwd ? mem_printf("%s/%s", cwd, root) : mem_strdup(root);
    free(cwd);
    for (size_t n = strlen(s->root); n > 1 && s->root[n - 1] == '/';)
        s->root[--n] = 0;
    s->base.name = mem_strdup(s->root);
    return &s->base;
}

/* Does it begin as "s3://" does? */
static bool has_scheme(struct str path)
{
    size_t n = 0;

    while (n < path.n && (isalnum((unsigned char)path.p[n]) || (path.p[n] && strchr("+.-", path.p[n]))))
        n++;
    return n && n + 3 <= path.n && memcmp(path.p + n, "://", 3) == 0;
}

int store_local_root(struct str path, struct str *ret, struct err *err)
{
    *ret = path;
    if (str_has_prefix(path, STR("file:///")))
        *ret = str_make(path.p + 7, path.n - 7);
    else if (str_has_prefix(path, STR("file:/")) && !str_has_prefix(path, STR("file://")))
        *ret = str_make(path.p + 5, path.n - 5);
    else if (has_scheme(path)) {
        err_set(err, ERR_USAGE, "%.*s: only folders of a file system are read and written, not object stores",
                STR_ARG(path));
        return err_hint(err,
                        "mount the bucket (rclone mount, s3fs, …) or copy the table's whole folder, _delta_log too, "
                        "to this machine, and name that folder");
    }
    return 0;
}
