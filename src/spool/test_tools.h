/* What the tests of the spool share: messages as pgoutput sends them, folders, and reading all of a spool. */
#ifndef SLUICE_SPOOL_TEST_TOOLS_H
#define SLUICE_SPOOL_TEST_TOOLS_H

#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/test_ok.h"
#include "spool/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmocka.h>

#define UNUSED __attribute__((unused))

static _Thread_local struct err err; /* of the call just made */

/* --- Messages --- */

UNUSED static uint64_t rng = 88172645463325252u;

UNUSED static uint32_t rnd(uint32_t below)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (uint32_t)(rng >> 20) % below;
}

UNUSED static void put_row(struct buf *b, char tag, uint32_t xid, uint32_t oid, size_t n)
{
    buf_add_char(b, tag);
    if (xid)
        buf_add_be32(b, xid);
    buf_add_be32(b, oid);
    for (size_t i = 0; i < n; i++)
        buf_add_char(b, (char)('a' + (rnd(4) ? i % 7 : rnd(26))));
}

UNUSED static void put_end(struct buf *b, char tag, uint32_t xid, uint64_t lsn)
{
    buf_add_char(b, tag);
    if (xid)
        buf_add_be32(b, xid);
    buf_add_char(b, 0);
    buf_add_be64(b, lsn);
    buf_add_be64(b, lsn + 8);
    buf_add_be64(b, 0);
}

UNUSED static void put_start(struct buf *b, uint32_t xid, bool first)
{
    buf_add_char(b, 'S');
    buf_add_be32(b, xid);
    buf_add_char(b, first);
}

UNUSED static void put_abort(struct buf *b, uint32_t xid, uint32_t sub)
{
    buf_add_char(b, 'A');
    buf_add_be32(b, xid);
    buf_add_be32(b, sub);
}

UNUSED static void put_message(struct buf *b, uint64_t lsn)
{
    buf_add_char(b, 'M');
    buf_add_char(b, 0);
    buf_add_be64(b, lsn);
    buf_add_cstr(b, "prefix");
}

UNUSED static int append(struct spool *spool, uint64_t lsn, struct buf *b)
{
    struct spool_frame f = {.lsn = lsn, .payload = buf_str(b)};
    int rc = spool_append(spool, &f, &err);

    buf_reset(b);
    return rc;
}

#define APPEND(spool, lsn, ...)                  \
    do {                                         \
        CLEANUP(buf_deinit) struct buf b_ = {0}; \
        struct buf *b = &b_;                     \
        __VA_ARGS__;                             \
        OK(append(spool, lsn, b));               \
    } while (0)

/* One transaction of n rows that commits at `lsn` (and ends at lsn + 8). */
UNUSED static void put_transaction(struct spool *spool, uint64_t lsn, unsigned rows, size_t row_bytes)
{
    APPEND(spool, lsn - 1, put_row(b, 'B', 0, 0, 20));
    for (unsigned i = 0; i < rows; i++)
        APPEND(spool, lsn - 1, put_row(b, 'I', 0, 16384, row_bytes));
    APPEND(spool, lsn, put_end(b, 'C', 0, lsn));
}

/* --- The folder --- */

UNUSED static char *test_dir(const char *name)
{
    const char *tmp = getenv("SLUICE_TEST_TMP");
    char *dir = mem_printf("%s/spool_test_files/%s", tmp ? tmp : "/tmp", name);

    OK(file_remove_tree(dir, &err));
    return dir;
}

UNUSED static struct spool *open_with(const char *dir, uint64_t segment, uint64_t quota)
{
    struct spool_config config = {dir, segment, quota, 20};
    struct spool *spool = NULL;

    OK(spool_open(&config, &spool, &err));
    return spool;
}

UNUSED static char *seg_path(const char *dir, uint64_t n)
{
    return mem_printf("%s/%016" PRIx64 ".seg", dir, n);
}

UNUSED static void copy_file(const char *from, const char *to, size_t n)
{
    CLEANUP(buf_deinit) struct buf b = {0};

    OK(file_read(from, &b, &err));
    OK(file_replace(to, b.p, MIN(n, b.n), &err));
}

/* All frames as one text: "lsn kind payload-hash" is too weak, so it is the frames themselves, encoded. Context left
 * out. */
UNUSED static int read_all(struct spool *spool, struct buf *ret, unsigned *ret_markers)
{
    CLEANUP(spool_reader_freep) struct spool_reader *reader = NULL;
    struct spool_frame f;
    int rc;

    *ret_markers = 0;
    TRY(spool_reader_open(spool, &reader, &err));
    while ((rc = spool_reader_next(reader, &f, NULL, &err)) == 0) {
        if (f.kind == SPOOL_DATA)
            spool_frame_encode(&f, ret);
        *ret_markers += f.kind == SPOOL_RESTART;
    }
    return rc < 0 ? rc : 0;
}

UNUSED static void assert_holds(struct spool *spool, const struct buf *expect)
{
    CLEANUP(buf_deinit) struct buf got = {0};
    unsigned markers;

    OK(read_all(spool, &got, &markers));
    assert_int_equal(got.n, expect->n);
    assert_true(str_eq(buf_str(&got), buf_str(expect)));
}

/* A random server: makes messages, and the oracle of what readers must see. */
struct peer {
    struct buf all;  /* frames up to the last boundary */
    struct buf tail; /* frames after it */
    uint64_t lsn, commit_lsn;
    uint32_t xid, open_xid;
    bool in_transaction;
    unsigned rows;
};

UNUSED static void peer_send(struct peer *p, struct spool *spool, struct buf *b, bool boundary)
{
    struct spool_frame f = {.lsn = p->lsn, .payload = buf_str(b)};

    OK(spool_append(spool, &f, &err));
    spool_frame_encode(&f, &p->tail);
    if (boundary) {
        buf_add_str(&p->all, buf_str(&p->tail));
        buf_reset(&p->tail);
    }
    buf_reset(b);
}

#endif
