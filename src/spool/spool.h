/*
 * The spool: the embedded log between the replication connection and everything after it.
 *
 * It makes the slot safe: the server is told "flushed" only up to what spool_sync() returned, so it may forget only
 * what this folder holds on disk. Frames are raw pgoutput messages, in arrival order, in segment files `<number>.seg`.
 *
 * Threads. One writer thread appends; any number of reader threads read at the same time, each with its own reader;
 * trim, wait and stats may be called from any thread. A `struct spool_reader` belongs to one thread at a time.
 *
 * What readers see. Only whole top-level transactions, once they are in the file (not necessarily on disk yet): the
 * readable end moves at 'C', 'c' (commits), 'P', 'p', 'K', 'r' (two-phase), 'A' (abort), 'M' outside a transaction and
 * at restart markers. Chunks of streamed transactions ('S' … 'E') stand where they arrived, so they may come long
 * before their 'c'; a reader notes their positions and reads them again with a second reader when the commit comes.
 *
 * Restart markers. After a reconnect (and after every open of a spool that is not empty) the log has a frame of kind
 * SPOOL_RESTART: streamed transactions that are in progress there are void, the server sends them again in whole. The
 * server also sends every Relation and Type message again before its first use. A non-transactional message that is
 * sent a second time is left out by the spool. Prepared transactions ('P', 'p' seen) are not void: only their 'K' or
 * 'r' comes.
 *
 * After a trim the oldest segment may hold later chunks of a streamed transaction whose first ones are gone: an xid
 * that begins with an 'S' that is not the first belongs to a transaction that all sinks have passed.
 *
 * Memory: the writer about 1.5 MB plus the Relation messages of the published tables, a reader about 1 MB; for a single
 * message larger than 256 KB, about twice its size more while it passes.
 */
#ifndef SLUICE_SPOOL_SPOOL_H
#define SLUICE_SPOOL_SPOOL_H

#include "spool/spool_format.h"

struct spool;
struct spool_reader;

struct spool_config {
    const char *dir;        /* made when absent; owned by one process (ERR_CONFLICT names the other) */
    uint64_t segment_bytes; /* a new segment begins after this many; 0 = 64 MB */
    uint64_t quota_bytes;   /* setting `spool_quota`: most bytes on disk; 0 = no limit; else at least 2 segments */
    uint64_t patience_ms;   /* before spool_has_room() gives up; 0 = 10 s */
};

/* Where a frame stands. Opaque but for comparing; stays good until the segment is trimmed. */
struct spool_pos {
    uint64_t segment;
    uint64_t block;  /* offset of the block in the file */
    uint32_t offset; /* of the frame in the unpacked block */
};
#define SPOOL_POS_MAX ((struct spool_pos){UINT64_MAX, UINT64_MAX, UINT32_MAX})
int spool_pos_cmp(struct spool_pos a, struct spool_pos b);

struct spool_stats {
    uint64_t first_segment, n_segments;
    uint64_t disk_bytes, quota_bytes;
    uint64_t frames, raw_bytes, stored_bytes; /* written since open; raw with frame headers */
    uint64_t blocks, syncs;
    uint64_t torn_bytes; /* cut at open: a block that a crash left half-written */
    uint64_t cut_bytes;  /* cut at open: whole blocks after the last boundary, which the server sends again */
    uint64_t repeated_messages;
    uint64_t readable_end_lsn; /* end of the last commit that readers can see */
};

/*
 * Opens or makes the spool and brings it to the end of the last whole transaction: a half-written tail is cut and
 * counted. Damage below what had been synced, or in an older segment, is ERR_INPUT naming segment and offset:
 * acknowledged data is gone. ERR_CONFLICT when another process has it open.
 */
int spool_open(const struct spool_config *config, struct spool **ret, struct err *err) MUST_CHECK;
/* Closes without writing: what was not synced is as after a kill. Readers must be gone. */
void spool_free(struct spool *spool);
DEFINE_FREEP(spool)

/*
 * --- Writer thread ---
 *
 * Takes one message (copies it). On an error the frame was NOT taken and nothing before it is lost: call again with the
 * same frame. ERR_IO: the disk is full or failing; works again once there is space. ERR_INPUT: not a pgoutput message.
 * ERR_LIMIT: the message is over SPOOL_PAYLOAD_MAX or the definitions of all tables exceed 256 MB. Does not look at the
 * quota.
 */
int spool_append(struct spool *spool, const struct spool_frame *frame, struct err *err) MUST_CHECK;
/* Hands all whole transactions to the file and so to readers. Call it when the socket has nothing more to give. */
int spool_flush(struct spool *spool, struct err *err) MUST_CHECK;
/*
 * Flush and fdatasync. Returns the end LSN of the last durable top-level commit (0 = none yet): that much may be
 * acknowledged. A keepalive's WAL end may be acknowledged too, after a sync that came later than it, if
 * spool_is_idle(). Costs nothing when nothing is new. After a failed fdatasync every later call fails as well: what the
 * disk holds is unknown, open the spool anew.
 */
int spool_sync(struct spool *spool, uint64_t *ret_durable_commit_lsn, struct err *err) MUST_CHECK;
/* No transaction and no streamed chunk is open: all that was appended is readable after a flush, or waits for its
 * commit as a streamed transaction, which the server would send again. */
bool spool_is_idle(const struct spool *spool);
/*
 * May the writer go on? 1 yes. 0 not now: stop reading from the socket, answer keepalives, ask again after a while;
 * sinks have still to pass data that is readable, and spool_trim() will make room. ERR_LIMIT: waiting cannot help:
 * sinks have passed every whole transaction and nothing has moved for `patience_ms`; what is left over the quota is the
 * transactions in progress (or the log behind the oldest streamed one): they need a larger `spool_quota`. Disk use may
 * exceed the quota by what is appended between two calls, so call it every few messages. May write (ERR_IO as
 * spool_append).
 */
int spool_has_room(struct spool *spool, struct err *err) MUST_CHECK;
/*
 * Call before the first frame of every new connection (spool_open has done it for the first): forgets the unfinished
 * tail, which no reader has seen, and appends a restart marker. On a full disk the marker waits with the next frames.
 */
int spool_restart_marker(struct spool *spool, struct err *err) MUST_CHECK;
/* The last whole top-level commit (0, 0 when there was never one). Start replication again at end_lsn. */
void spool_last_commit(const struct spool *spool, uint64_t *ret_lsn, uint64_t *ret_end_lsn);

/* --- Any thread --- */

/*
 * Deletes the oldest segments of which every commit ends at or before `end_lsn` (an end_lsn, not a commit LSN: all
 * sinks have durably passed it), and that lie wholly before `oldest_needed`: the first chunk of the oldest streamed (or
 * start of the oldest prepared) transaction still wanted, or where the main reader stands, whichever is less;
 * SPOOL_POS_MAX when nothing is. Never deletes the segment being written. Both limits are remembered for
 * spool_has_room().
 */
int spool_trim(struct spool *spool, uint64_t end_lsn, struct spool_pos oldest_needed, struct err *err) MUST_CHECK;
void spool_stats(struct spool *spool, struct spool_stats *ret);
/* Makes every present and future wait return at once: at the end of the program. */
void spool_wake(struct spool *spool);

/* --- Reader threads --- */

/* Starts at the oldest segment kept. Its first frames are the context of that segment (kind SPOOL_CONTEXT): Types and
 * Relations in the form they have outside streamed chunks (without xid). Later segments' context is skipped, because
 * the reader has seen those messages go by. Borrows the spool. */
int spool_reader_open(struct spool *spool, struct spool_reader **ret, struct err *err) MUST_CHECK;
void spool_reader_free(struct spool_reader *reader);
DEFINE_FREEP(spool_reader)
/* 0 and a frame (payload borrowed until the next call on this reader) with its position; 1 when nothing is readable
 * now; ERR_INPUT on damage, naming segment and offset. ret_pos may be NULL. */
int spool_reader_next(struct spool_reader *reader, struct spool_frame *ret, struct spool_pos *ret_pos,
                      struct err *err) MUST_CHECK;
/* The next frame will be the one at `pos`. Cheap within a block. ERR_NOT_FOUND when its segment was trimmed. */
int spool_reader_seek(struct spool_reader *reader, struct spool_pos pos, struct err *err) MUST_CHECK;
/* Where the next frame will be looked for: all before it has been read. */
struct spool_pos spool_reader_pos(const struct spool_reader *reader);
/* Sleeps until this reader has something to read: true; false after timeout_us (< 0: never) or spool_wake(). */
bool spool_reader_wait(struct spool_reader *reader, int64_t timeout_us);

#endif
