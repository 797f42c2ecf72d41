/* The notes of a copy: JSON lines, appended and synced. */
#include "pipeline/copy_notes.h"

#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "codec/pg_schema.h"

#include <fcntl.h>
#include <yyjson.h>

enum { NOTES_MAX = 256 << 20 };

char *copy_notes_path(const char *state_dir, uint32_t oid)
{
    return mem_printf("%s/copy/%u.jsonl", state_dir, oid);
}

void copy_plan_free(struct copy_plan *p)
{
    if (!p)
        return;
    file_closep(&p->fd);
    mem_free(p->path);
    mem_free(p->chunks);
    mem_free(p->done);
    mem_free(p);
}

/* Changes when the columns, their types, the key or the partition columns do, and with the folder that the files are in.
 * 2: the form of the notes. */
static uint64_t fingerprint(const struct copy_table *t)
{
    CLEANUP(buf_deinit) struct buf b = {0};

    buf_printf(&b, "2 %d %.*s %.*s", t->rel->identity, STR_ARG(t->rel->schema), STR_ARG(t->rel->name));
    for (uint32_t i = 0; i < t->schema->n_fields; i++) {
        buf_printf(&b, "\n%.*s ", STR_ARG(t->schema->fields[i].name));
        buf_add_str(&b, field_meta_get(&t->schema->fields[i], STR(PG_SCHEMA_COLUMN)));
    }
    for (uint32_t i = 0; i < t->n_parts; i++)
        buf_printf(&b, "\nby %u", t->parts[i]);
    return hash64(b.p, b.n);
}

static struct copy_plan *plan_new(char *path, size_t n)
{
    struct copy_plan *p = MEM_NEW(struct copy_plan);

    p->path = path;
    p->fd = -1;
    p->n = n;
    p->done = MEM_NEW_N(struct copy_done, n + 1);
    return p;
}

static int open_notes(struct copy_plan *p, struct err *err)
{
    p->fd = open(p->path, O_WRONLY | O_APPEND | O_CLOEXEC);
    return p->fd < 0 ? err_set_errno(err, "cannot open %s", p->path) : 0;
}

int copy_notes_begin(const char *state_dir, struct copy_table *t, uint32_t first_id, struct pg_chunk *chunks, size_t n,
                     struct copy_plan **ret, struct err *err)
{
    CLEANUP(buf_deinit) struct buf b = {0};
    struct copy_plan *p = *ret = plan_new(copy_notes_path(state_dir, t->rel->oid), n);
    CLEANUP(mem_freep) char *dir = mem_printf("%s/copy", state_dir);

    p->chunks = chunks;
    p->next_id = first_id;
    buf_printf(&b, "{\"plan\":\"%016llx\",\"first_id\":%u,\"chunks\":[", (unsigned long long)fingerprint(t), first_id);
    for (size_t i = 0; i < n; i++)
        buf_printf(&b, "%s[%u,%u,%u,%u,%.0f]", i ? "," : "", chunks[i].leaf_oid, chunks[i].filenode, chunks[i].from,
                   chunks[i].to, chunks[i].row_estimate);
    buf_add_cstr(&b, "]}\n");
    TRY(file_make_dirs(dir, err));
    TRY(file_replace(p->path, b.p, b.n, err));
    return open_notes(p, err);
}

int copy_notes_add(struct copy_plan *p, size_t chunk, const struct copy_files *files, const struct copy_reject *rejects,
                   size_t n_rejects, struct err *err)
{
    CLEANUP(buf_deinit) struct buf b = {0};
    char lsn[LSN_TEXT];

    buf_printf(&b, "{\"chunk\":%zu,\"lsn\":\"%s\",\"xmin\":%u", chunk, lsn_text(p->done[chunk].lsn, lsn),
               p->done[chunk].xmin);
    for (size_t i = 0; i < files->n; i++) {
        const struct copy_file *f = &files->v[i];
        buf_printf(&b, "%s[\"%s\",%u,%u,%lld,", i ? "," : ",\"files\":[", f->path, f->id, f->rows, (long long)f->size);
        buf_add_json_str(&b, str_of(f->stats));
        buf_add_char(&b, ',');
        buf_add_json_str(&b, str_of(f->parts));
        buf_add_cstr(&b, i + 1 < files->n ? "]" : "]]");
    }
    for (size_t i = 0; i < n_rejects; i++) {
        buf_add_cstr(&b, i ? ",[" : ",\"rejects\":[[");
        buf_add_json_str(&b, rejects[i].r.column);
        buf_add_char(&b, ',');
        buf_add_json_str(&b, rejects[i].r.value);
        buf_add_char(&b, ',');
        buf_add_json_str(&b, rejects[i].r.reason);
        buf_add_cstr(&b, i + 1 < n_rejects ? "]" : "]]");
    }
    buf_add_cstr(&b, "}\n");
    TRY(file_write_all(p->fd, b.p, b.n, p->path, err));
    return fdatasync(p->fd) ? err_set_errno(err, "cannot write %s", p->path) : 0;
}

/* ---- reading ---- */

static uint64_t num(yyjson_val *obj, const char *key)
{
    return yyjson_get_uint(yyjson_obj_get(obj, key));
}

static struct str text(yyjson_val *v)
{
    return str_make(yyjson_get_str(v), yyjson_get_len(v));
}

/* The first line. NULL: not this table as it is now. */
static struct copy_plan *read_plan(const struct copy_table *t, char *path, struct str line)
{
    yyjson_doc *doc = yyjson_read(line.p, line.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc), *chunks = yyjson_obj_get(root, "chunks"), *c;
    CLEANUP(mem_freep) char *want = mem_printf("%016llx", (unsigned long long)fingerprint(t));
    struct copy_plan *p = NULL;
    size_t i, n;

    if (yyjson_is_arr(chunks) && str_is(text(yyjson_obj_get(root, "plan")), want)) {
        p = plan_new(mem_strdup(path), yyjson_arr_size(chunks));
        p->next_id = (uint32_t)num(root, "first_id");
        p->chunks = MEM_NEW_N(struct pg_chunk, p->n + 1);
        yyjson_arr_foreach(chunks, i, n, c)
        {
            p->chunks[i].leaf_oid = (uint32_t)yyjson_get_uint(yyjson_arr_get(c, 0));
            p->chunks[i].filenode = (uint32_t)yyjson_get_uint(yyjson_arr_get(c, 1));
            p->chunks[i].from = (uint32_t)yyjson_get_uint(yyjson_arr_get(c, 2));
            p->chunks[i].to = (uint32_t)yyjson_get_uint(yyjson_arr_get(c, 3));
            p->chunks[i].row_estimate = (double)yyjson_get_sint(yyjson_arr_get(c, 4));
        }
    }
    yyjson_doc_free(doc);
    return p;
}

static void read_rejects(struct copy_table *t, yyjson_val *list, uint64_t lsn, uint64_t chunk)
{
    yyjson_val *r;
    size_t i, n;

    yyjson_arr_foreach(list, i, n, r)
    {
        MEM_GROW(t->rejects, t->n_rejects, t->cap_rejects);
        t->rejects[t->n_rejects++].r = (struct reject){.pos = {lsn, copy_reject_ordinal(chunk, i)},
                                                       .column = arena_str(&t->arena, text(yyjson_arr_get(r, 0))),
                                                       .value = arena_str(&t->arena, text(yyjson_arr_get(r, 1))),
                                                       .reason = arena_str(&t->arena, text(yyjson_arr_get(r, 2)))};
    }
}

static void read_files(struct copy_table *t, struct copy_plan *p, yyjson_val *list)
{
    yyjson_val *f;
    size_t i, n;

    yyjson_arr_foreach(list, i, n, f)
    {
        struct str path = text(yyjson_arr_get(f, 0)), stats = text(yyjson_arr_get(f, 4));
        struct str parts = text(yyjson_arr_get(f, 5));
        uint32_t id = (uint32_t)yyjson_get_uint(yyjson_arr_get(f, 1));
        MEM_GROW(t->files.v, t->files.n, t->files.cap);
        t->files.v[t->files.n++] = (struct copy_file){.path = mem_strndup(path.p, path.n),
                                                      .id = id,
                                                      .rows = (uint32_t)yyjson_get_uint(yyjson_arr_get(f, 2)),
                                                      .size = (int64_t)yyjson_get_uint(yyjson_arr_get(f, 3)),
                                                      .stats = mem_strndup(stats.p, stats.n),
                                                      .parts = mem_strndup(parts.p, parts.n)};
        p->next_id = MAX(p->next_id, id + 1);
    }
}

/* A line about a chunk; false when it is not whole. */
static bool read_done(struct copy_table *t, struct copy_plan *p, struct str line)
{
    yyjson_doc *doc = yyjson_read(line.p, line.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    uint64_t chunk = num(root, "chunk"), lsn = 0;
    bool ok = root && chunk < p->n && lsn_parse(text(yyjson_obj_get(root, "lsn")), &lsn);

    if (ok) {
        p->done[chunk] = (struct copy_done){lsn, (uint32_t)num(root, "xmin")};
        read_rejects(t, yyjson_obj_get(root, "rejects"), lsn, chunk);
        read_files(t, p, yyjson_obj_get(root, "files"));
    }
    yyjson_doc_free(doc);
    return ok;
}

int copy_notes_read(const char *state_dir, struct copy_table *t, struct copy_plan **ret, struct err *err)
{
    CLEANUP(mem_freep) char *path = copy_notes_path(state_dir, t->rel->oid);
    CLEANUP(buf_deinit) struct buf bytes = {.max = NOTES_MAX};

    *ret = NULL;
    if (!file_exists(path))
        return 0;
    TRY(file_read(path, &bytes, err));
    while (bytes.n && bytes.p[bytes.n - 1] != '\n') /* a line that was cut short */
        bytes.n--;
    struct str rest = buf_str(&bytes), line = str_split(&rest, '\n');
    struct copy_plan *p = read_plan(t, path, line);
    if (!p)
        return 0;
    while (rest.n && read_done(t, p, str_split(&rest, '\n')))
        ;
    *ret = p;
    if (truncate(path, (off_t)bytes.n))
        return err_set_errno(err, "cannot write %s", path);
    return open_notes(p, err);
}

int copy_forget(const char *state_dir, uint32_t oid, struct err *err)
{
    CLEANUP(mem_freep) char *path = copy_notes_path(state_dir, oid);

    return file_remove_tree(path, err);
}
