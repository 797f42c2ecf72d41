/*
 * Deletion vectors where they are stored: files, inline text, and the names of both.
 *
 *     file:   u8 version 1 | blocks
 *     block:  i32 BE size | serialized set (size bytes) | u32 BE CRC-32 of it (zlib's polynomial)
 *     'u':    [prefix] + 20 characters Z85 of the UUID's 16 bytes → [prefix/]deletion_vector_<uuid>.bin
 *     'i':    Z85 of the serialized set, padded with zero bytes to a multiple of 4
 */
#include "codec/dv.h"

#include <assert.h>

#include <zlib.h>

enum { DV_FILE_VERSION = 1, UUID_Z85 = 20 };

/* --- Z85 --- */

static const char z85_chars[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";
_Static_assert(sizeof z85_chars == 86, "85 characters");

void z85_encode(const void *p, size_t n, struct buf *out)
{
    const uint8_t *bytes = p;

    for (size_t i = 0; i < n; i += 4) {
        uint8_t quad[4] = {0};
        char text[5];
        memcpy(quad, bytes + i, MIN(n - i, 4u));
        uint32_t v = (uint32_t)quad[0] << 24 | (uint32_t)quad[1] << 16 | (uint32_t)quad[2] << 8 | quad[3];
        for (int j = 4; j >= 0; j--, v /= 85)
            text[j] = z85_chars[v % 85];
        buf_add(out, text, 5);
    }
}

/* The value of a character, or -1. */
static int z85_value(char c)
{
    const char *at = c ? strchr(z85_chars, c) : NULL;

    return at ? (int)(at - z85_chars) : -1;
}

/* n characters as a number; false when one is none of the alphabet or the number exceeds n_bytes bytes. */
static bool z85_number(const char *p, size_t n, unsigned n_bytes, uint64_t *ret)
{
    uint64_t v = 0;

    for (size_t i = 0; i < n; i++) {
        int digit = z85_value(p[i]);
        if (digit < 0)
            return false;
        v = v * 85 + (unsigned)digit;
    }
    *ret = v;
    return v >> (8 * n_bytes) == 0;
}

/* The bytes of one group of 5 characters, most significant first; returns how many (4, or less for a '#' tail), or 0. */
static unsigned z85_group(const char *p, uint8_t ret[4])
{
    unsigned pad = 0;
    uint64_t v;

    while (pad < 3 && p[pad] == '#')
        pad++;
    if (!z85_number(p + pad, 5 - pad, 4 - pad, &v))
        return 0;
    for (unsigned i = 0; i < 4 - pad; i++)
        ret[i] = (uint8_t)(v >> (8 * (4 - pad - 1 - i)));
    return 4 - pad;
}

int z85_decode(struct str s, size_t size, struct buf *ret, struct err *err)
{
    if (s.n % 5 != 0 || s.n / 5 != size / 4 + (size % 4 != 0))
        return err_set(err, ERR_INPUT, "Z85 text of %zu characters cannot hold %zu bytes", s.n, size);
    for (size_t at = 0; at < s.n; at += 5) {
        uint8_t bytes[4] = {0};
        size_t left = size - at / 5 * 4, want = MIN(left, 4u);
        unsigned got = z85_group(s.p + at, bytes);
        /* A '#' tail holds exactly the rest; a zero-padded one holds 4 bytes of which the last are dropped. */
        if (got == 0 || (got < 4 && got != left))
            return err_set(err, ERR_INPUT, "Z85 text is malformed at character %zu: \"%.5s\"", at + 1, s.p + at);
        buf_add(ret, bytes, want);
    }
    if (ret->failed)
        return err_set(err, ERR_LIMIT, "Z85 text of %zu characters exceeds the limit of %zu bytes", s.n, ret->max);
    return 0;
}

/* --- descriptors --- */

static void add_path(struct str prefix, const uint8_t uuid[16], struct buf *ret)
{
    if (prefix.n > 0) {
        buf_add_str(ret, prefix);
        buf_add_char(ret, '/');
    }
    buf_add_cstr(ret, "deletion_vector_");
    for (int i = 0; i < 16; i++)
        buf_printf(ret, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", uuid[i]);
    buf_add_cstr(ret, ".bin");
}

void dv_uuid_path(struct str prefix, const uint8_t uuid[16], struct buf *ret)
{
    add_path(prefix, uuid, ret);
}

void dv_uuid_text(struct str prefix, const uint8_t uuid[16], struct buf *ret)
{
    buf_add_str(ret, prefix);
    z85_encode(uuid, 16, ret);
}

int dv_path(char storage, struct str text, struct buf *ret, struct err *err)
{
    if (storage == 'p' && text.n > 0) {
        buf_add_str(ret, text);
        return 0;
    }
    if (storage != 'u')
        return err_set(err, ERR_INPUT, "deletion vector: a file was expected, but its storageType is '%c'",
                       storage >= ' ' && storage <= '~' ? storage : '?');
    if (text.n < UUID_Z85)
        return err_set(err, ERR_INPUT, "deletion vector: pathOrInlineDv \"%.*s\" is too short for a UUID",
                       STR_ARG(text));
    CLEANUP(buf_deinit) struct buf uuid = {0};
    size_t prefix = text.n - UUID_Z85;
    int rc = z85_decode(str_make(text.p + prefix, UUID_Z85), 16, &uuid, err);
    if (rc < 0)
        return err_wrap(err, "deletion vector: pathOrInlineDv \"%.*s\"", (int)MIN(text.n, 200u), text.p);
    add_path(str_make(text.p, prefix), (const uint8_t *)uuid.p, ret);
    return 0;
}

static int check_cardinality(const struct dv *dv, int64_t expected, struct err *err)
{
    if (expected >= 0 && dv_cardinality(dv) != (uint64_t)expected)
        return err_set(err, ERR_INPUT, "deletion vector masks %llu rows, but its descriptor says %lld",
                       (unsigned long long)dv_cardinality(dv), (long long)expected);
    return 0;
}

int dv_inline_read(struct str text, int64_t size, int64_t cardinality, struct dv *ret, struct err *err)
{
    CLEANUP(buf_deinit) struct buf bytes = {0};
    CLEANUP(dv_deinit) struct dv dv = {0};

    if (size < 0)
        return err_set(err, ERR_INPUT, "inline deletion vector: size %lld is negative", (long long)size);
    if (z85_decode(text, (size_t)size, &bytes, err) < 0)
        return err_wrap(err, "inline deletion vector");
    TRY(dv_parse(bytes.p, bytes.n, &dv, err));
    TRY(check_cardinality(&dv, cardinality, err));
    dv_move(ret, &dv);
    return 0;
}

size_t dv_inline_write(struct dv *dv, struct buf *ret)
{
    CLEANUP(buf_deinit) struct buf bytes = {0};
    size_t size = dv_serialize(dv, &bytes);

    z85_encode(bytes.p, bytes.n, ret);
    return size;
}

/* --- files --- */

static uint32_t crc_of(const void *p, size_t n)
{
    return (uint32_t)crc32_z(crc32_z(0, NULL, 0), p, n);
}

void dv_file_begin(struct buf *out)
{
    assert(out->n == 0);
    buf_add_char(out, DV_FILE_VERSION);
}

int dv_file_append(struct buf *out, struct dv *dv, int32_t *ret_offset, int32_t *ret_size, struct err *err)
{
    size_t offset = out->n;

    assert(offset > 0);
    buf_add_be32(out, 0);
    size_t size = dv_serialize(dv, out);
    if (out->failed || offset > INT32_MAX || size > INT32_MAX) {
        out->n = offset;
        return err_set(err, ERR_LIMIT, "deletion vector of %zu bytes at offset %zu does not fit its file", size,
                       offset);
    }
    uint32_t be = __builtin_bswap32((uint32_t)size);
    memcpy(out->p + offset, &be, 4);
    buf_add_be32(out, crc_of(out->p + offset + 4, size));
    *ret_offset = (int32_t)offset;
    *ret_size = (int32_t)size;
    return 0;
}

/* One block: the n bytes of a file from `offset` on (more may follow). Size, CRC and cardinality must be as the
 * descriptor says (cardinality -1: not checked). ERR_INPUT. */
static int read_block(const void *p, size_t n, int64_t size, int64_t cardinality, struct dv *ret, struct err *err)
{
    CLEANUP(dv_deinit) struct dv dv = {0};
    struct reader r = reader_of(p, n);
    uint32_t stored = reader_be32(&r);

    if (!r.failed && stored != size)
        return err_set(err, ERR_INPUT, "deletion vector is of %u bytes, but its descriptor says %lld", stored,
                       (long long)size);
    const uint8_t *data = reader_bytes(&r, stored);
    uint32_t crc = reader_be32(&r);
    if (r.failed)
        return err_set(err, ERR_INPUT, "deletion vector file ends within a deletion vector of %lld bytes",
                       (long long)size);
    if (crc != crc_of(data, stored))
        return err_set(err, ERR_INPUT, "deletion vector is corrupt: its CRC-32 is %08x, and should be %08x",
                       crc_of(data, stored), crc);
    TRY(dv_parse(data, stored, &dv, err));
    TRY(check_cardinality(&dv, cardinality, err));
    dv_move(ret, &dv);
    return 0;
}

int dv_file_read(const void *p, size_t n, int64_t offset, int64_t size, int64_t cardinality, struct dv *ret,
                 struct err *err)
{
    const uint8_t *bytes = p;

    if (n < 1)
        return err_set(err, ERR_INPUT, "deletion vector file is empty");
    if (bytes[0] != DV_FILE_VERSION)
        return err_set(err, ERR_UNSUPPORTED, "deletion vector file is of version %u, and we read %d", bytes[0],
                       DV_FILE_VERSION);
    if (offset < 0 || (uint64_t)offset > n)
        return err_set(err, ERR_INPUT, "deletion vector at offset %lld is outside its file of %zu bytes",
                       (long long)offset, n);
    return read_block(bytes + offset, n - (size_t)offset, size, cardinality, ret, err);
}
