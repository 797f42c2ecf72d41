/* Only the end of a file is looked at and written: footer, its length in 4 bytes, "PAR1". */
#include "engine/variant_file.h"

#include "base/file.h"
#include "codec/parquet_join.h"

#include <fcntl.h>

enum { TAIL = 8 };

static int read_at(int fd, const char *path, uint64_t at, size_t n, struct buf *ret, struct err *err)
{
    char *to = buf_reserve(ret, n);

    for (size_t done = 0; done < n;) {
        ssize_t got = pread(fd, to + done, n - done, (off_t)(at + done));
        if (got < 0)
            return err_set_errno(err, "reading %s", path);
        if (!got)
            return err_set(err, ERR_INPUT, "%s ends early", path);
        done += (size_t)got;
    }
    ret->n += n;
    return 0;
}

static int footer_read(int fd, const char *path, struct buf *ret, uint64_t *ret_at, struct err *err)
{
    CLEANUP(buf_deinit) struct buf tail = {0};
    int64_t size = file_size(path);

    if (fd < 0)
        return err_set_errno(err, "opening %s", path);
    if (size >= TAIL)
        TRY(read_at(fd, path, (uint64_t)size - TAIL, TAIL, &tail, err));
    struct reader r = reader_of(tail.n ? tail.p : "", tail.n);
    uint32_t n = reader_le32(&r);
    if (r.failed || n > (uint64_t)size - TAIL || memcmp(tail.p + 4, "PAR1", 4) != 0)
        return err_set(err, ERR_INPUT, "%s is no Parquet file", path);
    *ret_at = (uint64_t)size - TAIL - n;
    return read_at(fd, path, *ret_at, n, ret, err);
}

static int footer_write(int fd, const char *path, uint64_t at, struct buf *footer, struct err *err)
{
    buf_add_le32(footer, (uint32_t)footer->n);
    buf_add_cstr(footer, "PAR1");
    if (lseek(fd, (off_t)at, SEEK_SET) < 0)
        return err_set_errno(err, "writing %s", path);
    TRY(file_write_all(fd, footer->p, footer->n, path, err));
    return ftruncate(fd, (off_t)(at + footer->n)) < 0 ? err_set_errno(err, "writing %s", path) : 0;
}

int variant_file_join(const char *path, const struct schema *schema, uint64_t *ret_bytes, struct err *err)
{
    CLEANUP(file_closep) int fd = open(path, O_RDWR | O_CLOEXEC);
    CLEANUP(buf_deinit) struct buf footer = {0}, joined = {0};
    uint64_t at;

    TRY(footer_read(fd, path, &footer, &at, err));
    TRY(parquet_join_variants(buf_str(&footer), schema, &joined, err));
    TRY(footer_write(fd, path, at, &joined, err));
    *ret_bytes = at + joined.n;
    return 0;
}

int variant_file_look(const char *path, struct parquet_variants *ret, struct err *err)
{
    CLEANUP(file_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
    CLEANUP(buf_deinit) struct buf footer = {0}, bare = {0};
    uint64_t at;

    TRY(footer_read(fd, path, &footer, &at, err));
    if (parquet_bare(buf_str(&footer), ret, &bare, err) < 0)
        return err_wrap(err, "%s", path);
    return 0;
}

/* The first n bytes. Where the system cannot do it by itself, through memory. */
static int copy_bytes(int from, int to, const char *path, uint64_t n, struct err *err)
{
    CLEANUP(buf_deinit) struct buf piece = {0};
    enum { PIECE = 1 << 20 };
    uint64_t done = 0;

    while (done < n) {
        loff_t at = (loff_t)done;
        ssize_t got = copy_file_range(from, &at, to, NULL, n - done, 0);
        if (got <= 0)
            break;
        done += (uint64_t)got;
    }
    while (done < n) {
        buf_reset(&piece);
        TRY(read_at(from, path, done, MIN(n - done, PIECE), &piece, err));
        TRY(file_write_all(to, piece.p, piece.n, path, err));
        done += piece.n;
    }
    return 0;
}

static int bare_copy(int from, int to, const char *path, const char *copy, struct err *err)
{
    CLEANUP(buf_deinit) struct buf footer = {0}, bare = {0};
    struct parquet_variants found;
    uint64_t at;

    TRY(footer_read(from, path, &footer, &at, err));
    TRY(parquet_bare(buf_str(&footer), &found, &bare, err));
    TRY(copy_bytes(from, to, copy, at, err));
    return footer_write(to, copy, at, &bare, err);
}

int variant_file_bare(const char *path, const char *copy, struct err *err)
{
    CLEANUP(file_closep) int from = open(path, O_RDONLY | O_CLOEXEC);
    CLEANUP(file_closep) int to = open(copy, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (to < 0)
        return err_set_errno(err, "making %s", copy);
    int rc = bare_copy(from, to, path, copy, err);
    if (rc < 0)
        unlink(copy);
    return rc;
}
