/* Two levels of folders, read with readdir; what has a _delta_log is a table. */
#include "delta/log/lake.h"

#include "base/file.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

static bool is_table(const char *path)
{
    CLEANUP(mem_freep) char *log = mem_printf("%s/_delta_log", path);
    struct stat st;

    return stat(log, &st) == 0 && S_ISDIR(st.st_mode);
}

static void add(struct lake *lake, struct str schema, struct str name, const char *path)
{
    struct lake_table table = {arena_str(&lake->arena, schema), arena_str(&lake->arena, name),
                               arena_strdup(&lake->arena, str_of(path))};

    MEM_GROW(lake->tables, lake->n, lake->cap);
    lake->tables[lake->n++] = table;
}

static void closedirp(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

/* PostgreSQL's tables may be named _migrations or .x: only sluice's own folder and the log are none. Of a hidden folder of
 * somebody else's we look no further than we may. */
static bool is_ours(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, "_sluice") == 0 ||
           strcmp(name, "_delta_log") == 0;
}

static bool is_hidden(const char *name)
{
    return name[0] == '.' || name[0] == '_';
}

/* schema NULL: `path` is the lake itself, whose folders are schemas (or tables). */
static int read_folder(struct lake *lake, const char *path, const char *schema, struct err *err)
{
    CLEANUP(closedirp) DIR *dir = opendir(path);
    const struct dirent *e;

    if (!dir && schema && is_hidden(schema))
        return 0;
    if (!dir && errno == ENOTDIR)
        return schema ? 0 : err_set(err, ERR_USAGE, "%s is no folder", path);
    if (!dir)
        return err_set_errno(err, "opening the folder %s", path);
    while ((e = readdir(dir))) {
        if (schema ? strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 : is_ours(e->d_name))
            continue;
        CLEANUP(mem_freep) char *sub = mem_printf("%s/%s", path, e->d_name);
        if (is_table(sub))
            add(lake, schema ? str_of(schema) : STR("public"), str_of(e->d_name), sub);
        else if (!schema && (e->d_type == DT_DIR || e->d_type == DT_LNK || e->d_type == DT_UNKNOWN))
            TRY(read_folder(lake, sub, e->d_name, err));
    }
    return 0;
}

static int by_name(const void *a, const void *b)
{
    const struct lake_table *x = a, *y = b;
    int cmp = str_cmp(x->schema, y->schema);

    return cmp ? cmp : str_cmp(x->name, y->name);
}

int lake_list(const char *root, struct lake *ret, struct err *err)
{
    char *whole = realpath(root, NULL);

    if (!whole)
        return err_set_errno(err, "opening %s", root);
    ret->root = arena_strdup(&ret->arena, str_of(whole));
    free(whole);
    if (is_table(ret->root)) {
        const char *slash = strrchr(ret->root, '/');
        add(ret, STR("public"), str_of(slash[1] ? slash + 1 : "table"), ret->root);
        return 0;
    }
    TRY(read_folder(ret, ret->root, NULL, err));
    if (ret->n)
        qsort(ret->tables, ret->n, sizeof *ret->tables, by_name);
    return 0;
}

void lake_deinit(struct lake *lake)
{
    mem_free(lake->tables);
    arena_deinit(&lake->arena);
    *lake = (struct lake){0};
}

static const struct lake_table *find(const struct lake *lake, struct str schema, struct str name,
                                     bool (*eq)(struct str, struct str), bool *ret_several)
{
    const struct lake_table *found = NULL;
    bool several = false;

    for (size_t i = 0; i < lake->n; i++) {
        const struct lake_table *t = &lake->tables[i];
        if (!eq(t->name, name) || (schema.n && !eq(t->schema, schema)))
            continue;
        if (!schema.n && str_is(t->schema, "public"))
            return t;
        several |= found != NULL;
        found = t;
    }
    *ret_several = several;
    return several ? NULL : found;
}

const struct lake_table *lake_find(const struct lake *lake, struct str schema, struct str name, bool *ret_several)
{
    const struct lake_table *t = find(lake, schema, name, str_eq, ret_several);

    return t || *ret_several ? t : find(lake, schema, name, str_eq_nocase, ret_several);
}
