/*
 * Writing a whole hash file of the key index from its start: building and resizing.
 *
 *     region 0 | region 1 | … | region 1023      each is hashed in memory and written with one write
 *              ─carry──▶                         what finds no slot up to the end goes first into the next region
 *
 * Inserting 50 M keys straight into the mapping costs a page fault and a cache miss each; this does neither.
 */
#include "base/file.h"
#include "base/mem.h"
#include "delta/index/key_index.h"
#include "delta/index/key_table.h"

#include <assert.h>

int key_error_same(struct err *err)
{
    err_set(err, ERR_LIMIT, "key index: more than %d rows share one key", KEY_INDEX_SAME_MAX);
    return err_hint(err, "the key columns do not tell rows apart: choose others, or append only");
}

void key_writer_init(struct key_writer *w, struct key_table *t)
{
    *w = (struct key_writer){.t = t, .n = t->cap / KEY_CAP_STEP};
    w->slots = MEM_NEW_N(struct key_slot, w->n);
}

void key_writer_deinit(struct key_writer *w)
{
    mem_free(w->slots);
    mem_free(w->carry);
    mem_free(w->old_carry);
    *w = (struct key_writer){0};
}

/* Puts an entry into the first free slot from i on, or carries it over. */
static int writer_place(struct key_writer *w, const struct key_slot *e, uint64_t i, struct err *err)
{
    unsigned same = 0;

    for (; i < w->n && w->slots[i].file1 != 0; i++)
        if (w->slots[i].lo == e->lo && w->slots[i].mid == e->mid && ++same >= KEY_INDEX_SAME_MAX)
            return key_error_same(err);
    if (i < w->n) {
        w->slots[i] = *e;
        return 0;
    }
    if (w->n_carry >= KEY_INDEX_SAME_MAX) /* hashes are spread evenly, so only equal ones come to this */
        return key_error_same(err);
    MEM_GROW(w->carry, w->n_carry, w->cap_carry);
    w->carry[w->n_carry++] = *e;
    return 0;
}

int key_writer_begin(struct key_writer *w, uint64_t p, struct err *err)
{
    struct key_slot *empty = w->old_carry;
    size_t cap = w->cap_old_carry;

    assert(p == 0 || w->start == (p - 1) * w->n);
    w->start = p * w->n;
    memset(w->slots, 0, w->n * sizeof *w->slots);
    w->old_carry = w->carry;
    w->n_old_carry = w->n_carry;
    w->cap_old_carry = w->cap_carry;
    w->carry = empty;
    w->n_carry = 0;
    w->cap_carry = cap;
    for (size_t k = 0; k < w->n_old_carry; k++)
        TRY(writer_place(w, &w->old_carry[k], 0, err));
    return 0;
}

int key_writer_add(struct key_writer *w, const struct key_slot *e, size_t n, struct err *err)
{
    for (size_t k = 0; k < n; k++)
        TRY(writer_place(w, &e[k], key_home(e[k].lo, w->t->cap) - w->start, err));
    w->n_entries += n;
    return 0;
}

int key_writer_flush(struct key_writer *w, struct err *err)
{
    off_t at = (off_t)(KEY_HEAD_BYTES + w->start * sizeof *w->slots);

    if (lseek(w->t->fd, at, SEEK_SET) < 0)
        return err_set_errno(err, "seek in %s", w->t->path);
    return file_write_all(w->t->fd, w->slots, w->n * sizeof *w->slots, w->t->path, err);
}
