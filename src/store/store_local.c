/*
 * A store in a folder: a key is a path under it. Writes go through a temporary file, fsync, rename or link, fsync of the
 * folder. Folders are made as they are needed, and are made durable too.
 */
#include "store/store.h"

#include "base/file.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

struct store_local {
    struct store base;
    char *root; /* absolute */
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

/* Runs a write; when the folder is not there yet, makes it and runs it again. */
static int with_folder(const char *path, int (*write)(const char *, const void *, size_t, struct err *),
                       struct str bytes, struct err *err)
{
    CLEANUP(mem_freep) char *dir = mem_strndup(path, (size_t)(strrchr(path, '/') - path));

    if (!file_exists(dir))
        TRY(make_folder_of(path, err));
    return write(path, bytes.p, bytes.n, err);
}

static int local_put(struct store *s, const char *key, struct str bytes, struct err *err)
{
    CLEANUP(mem_freep) char *path = path_of(s, key);

    return with_folder(path, file_replace, bytes, err);
}

static int local_put_if_absent(struct store *s, const char *key, struct str bytes, struct err *err)
{
    CLEANUP(mem_freep) char *path = path_of(s, key);

    return with_folder(path, file_create_new, bytes, err);
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
    mem_free(((struct store_local *)s)->root);
    mem_free(s);
}

static const struct store_ops local_ops = {
    .get = local_get,
    .head = local_head,
    .put = local_put,
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
    s->root = cwd ? mem_printf("%s/%s", cwd, root) : mem_strdup(root);
    free(cwd);
    for (size_t n = strlen(s->root); n > 1 && s->root[n - 1] == '/';)
        s->root[--n] = 0;
    s->base.name = mem_strdup(s->root);
    return &s->base;
}
