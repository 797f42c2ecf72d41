/* Column f of files → f's type, with fields of theirs in structs that share none with them. */
#include "delta/scan/scan_structs.h"

#include "delta/scan/query_columns.h"
#include "engine/rename.h"

/* Ids are given in the order of the schema: a struct that has its first field from the beginning has the id after its own there. */
static bool may_lack(const struct type *t, int32_t id)
{
    bool first = false;

    for (uint32_t i = 0; i < t->n_children; i++) {
        const struct field *f = &t->children[i];
        first |= f->id == id + 1;
        if (may_lack(&f->type, t->id == TYPE_STRUCT ? f->id : id))
            return true;
    }
    return t->id == TYPE_STRUCT && t->n_children && !first;
}

bool scan_struct_may_lack(const struct field *f)
{
    return f->id > 0 && may_lack(&f->type, f->id);
}

static const struct field *find(const struct type *t, struct str physical)
{
    for (uint32_t i = 0; i < t->n_children; i++)
        if (str_eq_nocase(t->children[i].physical, physical))
            return &t->children[i];
    return NULL;
}

static void meet(struct type *t, const struct type *in_file, struct arena *arena)
{
    bool shared = false;

    if (t->id != in_file->id)
        return;
    for (uint32_t i = 0; i < t->n_children; i++) {
        const struct field *theirs = t->id == TYPE_STRUCT      ? find(in_file, t->children[i].physical)
                                     : i < in_file->n_children ? &in_file->children[i]
                                                               : NULL;
        shared |= theirs != NULL;
        if (theirs)
            meet(&t->children[i].type, &theirs->type, arena);
    }
    if (t->id != TYPE_STRUCT || shared || !in_file->n_children || !rename_needed(t)) /* renaming leaves it out again */
        return;
    struct field *all = ARENA_NEW_N(arena, struct field, t->n_children + 1);
    memcpy(all, t->children, t->n_children * sizeof *all);
    all[t->n_children++] = in_file->children[0];
    t->children = all;
}

struct type scan_struct_type(struct engine_conn *conn, const struct field *f, const struct str *paths, uint32_t n,
                             struct arena *arena)
{
    struct type t = type_clone(&f->type, arena);

    for (uint32_t i = 0; i < n; i++) {
        CLEANUP(buf_deinit) struct buf sql = {0};
        struct field *columns;
        uint32_t n_columns;
        buf_add_cstr(&sql, "SELECT ");
        buf_add_sql_ident(&sql, f->physical);
        buf_printf(&sql, " FROM read_parquet(%.*s, hive_partitioning = false)", STR_ARG(paths[i]));
        /* a file that lacks the column, or cannot be read: the scan itself will tell */
        if (delta_query_columns(conn, sql.p, arena, &columns, &n_columns, NULL) == 0 && n_columns == 1)
            meet(&t, &columns[0].type, arena);
    }
    return t;
}
