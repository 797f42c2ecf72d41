/*
 * The initial copy: chunks of tables, each read by COPY in binary through a session that sees an exported snapshot.
 *
 * Chunks are runs of blocks of one table file (ctid ranges). Any number of sessions read chunks of one snapshot in
 * parallel. After a crash, chunks that are not done can be read in a *later* snapshot, if the following holds: the
 * table was not rewritten meanwhile (`filenode` is unchanged: pg_chunk_is_current), and the chunks done earlier are
 * read once more for rows that changed since (`changed_since` = the xmin of the snapshot that they were read in): an
 * update in between can have moved a row from a chunk not yet read to one read before, and the stream does not carry
 * its unchanged TOAST values.
 */
#ifndef SLUICE_SOURCE_PG_SNAPSHOT_H
#define SLUICE_SOURCE_PG_SNAPSHOT_H

#include "base/buf.h"
#include "model/relation.h"
#include "source/pg_conn.h"
#include "source/pg_slot.h"

struct pg_session;

/* Plain data: the caller may store it and bring it back in another process. */
struct pg_chunk {
    uint32_t leaf_oid;      /* the table itself, or the partition */
    uint32_t filenode;      /* of its file when the chunk was planned */
    uint32_t from, to;      /* blocks [from, to); to = UINT32_MAX: to the end, however far it grows */
    uint32_t changed_since; /* 0, or only rows written by this transaction or a later one (and perhaps a few more) */
    double row_estimate;    /* for progress; -1 unknown */
};

/*
 * Opens a connection whose one transaction sees `snapshot` (of pg_slot_create), or the newest state when it is NULL.
 * Read only. ERR_REFUSED with sqlstate 22023 or 42704 when the snapshot's owner is gone.
 */
MUST_CHECK int pg_session_open(const char *url, const char *snapshot, int cancel_fd, struct pg_session **ret,
                               struct err *err);
void pg_session_free(struct pg_session *s); /* takes NULL */
DEFINE_FREEP(pg_session)
struct pg_conn *pg_session_conn(struct pg_session *s); /* for queries in the same snapshot, between copies */
/* By this name others come into its snapshot, as long as it is open: it exports what it has imported. */
const char *pg_session_snapshot(const struct pg_session *s);
/* Transactions below this one were over when the snapshot was taken: what a chunk's changed_since is later set to. */
uint32_t pg_session_xmin(const struct pg_session *s);

/* The size of a chunk of a table of so many blocks, where nobody says another: a chunk becomes a file, and each commit
 * costs a little for every file that it masks rows of, so a large table gets larger ones. */
uint32_t pg_chunk_blocks(uint64_t table_blocks);
/*
 * Cuts a table (all leaf partitions of a partitioned one) into chunks of about target_blocks (8 kB each; 0: by its size). Always at
 * least one a leaf; the last of a leaf is open-ended. PostgreSQL 13 cannot scan a ctid range: one chunk a leaf. `*ret`
 * is freed with mem_free.
 */
MUST_CHECK int pg_snapshot_plan(struct pg_conn *conn, const struct relation *rel, uint32_t target_blocks,
                                struct pg_chunk **ret, size_t *ret_n, struct err *err);
/* Whether the chunk's leaf still has the file that the chunk was planned on; false too when it is gone. */
MUST_CHECK int pg_chunk_is_current(struct pg_conn *conn, const struct pg_chunk *chunk, bool *ret, struct err *err);
/*
 * Starts to copy the columns of `rel` in order, from one chunk. binary_ok[i]: column i comes in its binary form, else
 * as text (the bytes of its text form in the binary COPY field). One copy a session at a time. Holds an ACCESS SHARE
 * lock on the leaf until the session ends or a copy is abandoned. ERR_CONFLICT when the table was rewritten or truncated
 * since the snapshot was taken or the chunk was planned (the snapshot would see it empty): plan it anew, in a new
 * snapshot. ERR_NOT_FOUND when it, or a column, is gone.
 */
MUST_CHECK int pg_snapshot_copy_begin(struct pg_session *s, const struct relation *rel, const struct pg_chunk *chunk,
                                      const bool *binary_ok, struct err *err);
/* The SQL expression `value` as text, as its type's output function prints it and as the stream has it. */
void pg_add_value_text(struct str value, struct buf *out);
/* The next bytes of the COPY stream (binary format with its header and trailer; cut anywhere), borrowed until the next
 * call; 1 at the end, after which the next copy can begin. */
MUST_CHECK int pg_snapshot_copy_next(struct pg_session *s, struct str *ret, struct err *err);
/* After an error, or in the middle of a copy: the session is ready for the next one, in the same snapshot. */
MUST_CHECK int pg_snapshot_copy_abandon(struct pg_session *s, struct err *err);

#endif
