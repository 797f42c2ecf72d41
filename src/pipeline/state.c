/* state.json. */
#include "pipeline/state.h"

#include "base/file.h"
#include "base/mem.h"
#include "model/position.h"

#include <stdio.h>
#include <yyjson.h>

enum { STATE_MAX = 64 << 20 };

static const char *const names[] = {"new", "copying", "streaming", "quarantined"};

const char *table_state_name(enum table_state st)
{
    return names[st];
}

char *state_dir_of(const char *lake, const char *state_dir)
{
    return state_dir ? mem_strdup(state_dir) : mem_printf("%s/_sluice", lake);
}

char *state_app_id(const struct state *s)
{
    return mem_printf("sluice/%llu/%s", (unsigned long long)s->system_id, s->slot);
}

struct state_table *state_find(struct state *s, uint32_t oid)
{
    for (size_t i = 0; i < s->n_tables; i++)
        if (s->tables[i].oid == oid)
            return &s->tables[i];
    return NULL;
}

struct state_table *state_add(struct state *s, uint32_t oid, struct str schema, struct str name)
{
    MEM_GROW(s->tables, s->n_tables, s->cap_tables);
    struct state_table *t = &s->tables[s->n_tables++];
    *t = (struct state_table){.oid = oid};
    t->schema = arena_str(&s->arena, schema);
    t->name = arena_str(&s->arena, name);
    return t;
}

void state_remove(struct state *s, uint32_t oid)
{
    struct state_table *t = state_find(s, oid);

    if (t) {
        size_t i = (size_t)(t - s->tables);
        memmove(t, t + 1, (s->n_tables - i - 1) * sizeof *t);
        s->n_tables--;
    }
}

void state_set_reason(struct state *s, struct state_table *t, const char *reason)
{
    t->reason = arena_str(&s->arena, str_of(reason));
}

void state_deinit(struct state *s)
{
    mem_free(s->path);
    mem_free(s->tables);
    arena_deinit(&s->arena);
    *s = (struct state){0};
}

static struct str get_str(yyjson_val *obj, const char *key)
{
    yyjson_val *v = yyjson_obj_get(obj, key);

    return yyjson_is_str(v) ? str_make(yyjson_get_str(v), yyjson_get_len(v)) : (struct str){0};
}

static int broken(const struct state *s, const char *what, struct err *err)
{
    err_set(err, ERR_INPUT, "%s: %s", s->path, what);
    return err_hint(err, "the file is not as sluice wrote it; restore it, or name another folder with --state to start "
                         "a new sync");
}

static int read_table(struct state *s, yyjson_val *obj, struct err *err)
{
    struct str st = get_str(obj, "state"), reason = get_str(obj, "reason");
    struct state_table *t = state_add(s, (uint32_t)yyjson_get_uint(yyjson_obj_get(obj, "oid")), get_str(obj, "schema"),
                                      get_str(obj, "name"));

    t->append_only = yyjson_get_bool(yyjson_obj_get(obj, "append_only"));
    t->mark = arena_str(&s->arena, get_str(obj, "mark"));
    t->leaves = arena_str(&s->arena, get_str(obj, "leaves"));
    t->bounds = arena_str(&s->arena, get_str(obj, "bounds"));
    t->gone = arena_str(&s->arena, get_str(obj, "gone"));
    if (t->gone.n &&
        (!lsn_parse(get_str(obj, "gone_lsn"), &t->gone_lsn) || !lsn_parse(get_str(obj, "gone_until"), &t->gone_until)))
        return broken(s, "gone_lsn or gone_until of a table is missing", err);
    t->gone_timeline = (uint32_t)yyjson_get_uint(yyjson_obj_get(obj, "gone_timeline"));
    yyjson_val *was = yyjson_obj_get(obj, "was");
    t->was_schema = arena_str(&s->arena, str_of(yyjson_get_str(yyjson_arr_get(was, 0))));
    t->was_name = arena_str(&s->arena, str_of(yyjson_get_str(yyjson_arr_get(was, 1))));
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_is(st, names[i])) {
            t->state = (enum table_state)i;
            t->reason = arena_str(&s->arena, reason);
            return 0;
        }
    return broken(s, "a table has no known state", err);
}

static int read_all(struct state *s, yyjson_val *root, struct err *err)
{
    struct str slot = get_str(root, "slot"), publication = get_str(root, "publication");
    yyjson_val *table;
    size_t i, n;

    if (yyjson_get_uint(yyjson_obj_get(root, "version")) != 1)
        return broken(s, "not a state of version 1", err);
    if (!str_to_u64(get_str(root, "system_id"), &s->system_id) || !lsn_parse(get_str(root, "start"), &s->start) ||
        !lsn_parse(get_str(root, "applied"), &s->applied))
        return broken(s, "system_id, start or applied is missing", err);
    if (get_str(root, "upgraded_id").n && !str_to_u64(get_str(root, "upgraded_id"), &s->upgraded_id))
        return broken(s, "upgraded_id is no number", err);
    snprintf(s->slot, sizeof s->slot, "%.*s", STR_ARG(slot));
    snprintf(s->publication, sizeof s->publication, "%.*s", STR_ARG(publication));
    s->publication_oid = (uint32_t)yyjson_get_uint(yyjson_obj_get(root, "publication_oid"));
    s->inserts = yyjson_get_bool(yyjson_obj_get(root, "inserts"));
    s->history_only = yyjson_get_bool(yyjson_obj_get(root, "history_only"));
    yyjson_arr_foreach(yyjson_obj_get(root, "tables"), i, n, table) TRY(read_table(s, table, err));
    return 0;
}

uint64_t state_cluster(const struct state *s)
{
    return s->upgraded_id ? s->upgraded_id : s->system_id;
}

int state_load(struct state *s, const char *state_dir, struct err *err)
{
    CLEANUP(buf_deinit) struct buf bytes = {.max = STATE_MAX};

    *s = (struct state){.path = mem_printf("%s/state.json", state_dir)};
    if (!file_exists(s->path))
        return 0;
    TRY(file_read(s->path, &bytes, err));
    yyjson_doc *doc = yyjson_read(bytes.p, bytes.n, 0);
    int rc = doc ? read_all(s, yyjson_doc_get_root(doc), err) : broken(s, "not JSON", err);
    yyjson_doc_free(doc);
    return rc;
}

static void add_text(const char *key, struct str text, struct buf *out)
{
    if (!text.n)
        return;
    buf_printf(out, ",\"%s\":", key);
    buf_add_json_str(out, text);
}

static void write_table(const struct state_table *t, struct buf *out)
{
    char lsn[LSN_TEXT];

    buf_printf(out, "{\"oid\":%u,\"schema\":", t->oid);
    buf_add_json_str(out, t->schema);
    buf_add_cstr(out, ",\"name\":");
    buf_add_json_str(out, t->name);
    buf_printf(out, ",\"state\":\"%s\"", names[t->state]);
    if (t->append_only)
        buf_add_cstr(out, ",\"append_only\":true");
    add_text("reason", t->reason, out);
    add_text("mark", t->mark, out);
    add_text("leaves", t->leaves, out);
    add_text("bounds", t->bounds, out);
    add_text("gone", t->gone, out);
    if (t->gone.n) {
        buf_printf(out, ",\"gone_lsn\":\"%s\"", lsn_text(t->gone_lsn, lsn));
        buf_printf(out, ",\"gone_until\":\"%s\",\"gone_timeline\":%u", lsn_text(t->gone_until, lsn), t->gone_timeline);
    }
    if (t->was_name.n) {
        buf_add_cstr(out, ",\"was\":[");
        buf_add_json_str(out, t->was_schema);
        buf_add_char(out, ',');
        buf_add_json_str(out, t->was_name);
        buf_add_char(out, ']');
    }
    buf_add_char(out, '}');
}

int state_save(const struct state *s, struct err *err)
{
    CLEANUP(buf_deinit) struct buf out = {0};
    char start[LSN_TEXT], applied[LSN_TEXT];

    buf_printf(&out, "{\"version\":1,\"system_id\":\"%llu\",", (unsigned long long)s->system_id);
    if (s->upgraded_id)
        buf_printf(&out, "\"upgraded_id\":\"%llu\",", (unsigned long long)s->upgraded_id);
    buf_printf(&out, "\"slot\":\"%s\",\"publication\":", s->slot);
    buf_add_json_str(&out, str_of(s->publication));
    buf_printf(&out,
               ",\"publication_oid\":%u,\"inserts\":%s,"
               "\"history_only\":%s,\"start\":\"%s\",\"applied\":\"%s\",\n\"tables\":[",
               s->publication_oid, s->inserts ? "true" : "false", s->history_only ? "true" : "false",
               lsn_text(s->start, start), lsn_text(s->applied, applied));
    for (size_t i = 0; i < s->n_tables; i++) {
        buf_add_cstr(&out, i ? ",\n" : "\n");
        write_table(&s->tables[i], &out);
    }
    buf_add_cstr(&out, "]}\n");
    return file_replace(s->path, out.p, out.n, err);
}
