/*
 * An object store as the Delta layer sees it: a flat name space of keys under one root (a table), '/' between the
 * parts, no leading '/'. A write is atomic and durable when it returns, but for store_put_soon(). Safe to use from several threads.
 *
 * Keys that are absolute paths or URLs (a shallow clone's files) are understood by get, head, local_path.
 */
#ifndef SLUICE_STORE_STORE_H
#define SLUICE_STORE_STORE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"

#include <stdatomic.h>

struct store_entry {
    const char *key; /* whole, from the root */
    int64_t size;
    int64_t time_ms; /* last change, ms since 1970 UTC */
};

struct store_list {
    struct arena arena;
    struct store_entry *v; /* sorted by key, bytewise */
    size_t n, cap;
};
void store_list_deinit(struct store_list *l);
/* For implementations: adds a copy of the key; and the sort at the end. */
void store_list_add(struct store_list *l, const char *key, int64_t size, int64_t time_ms);
void store_list_sort(struct store_list *l);

struct store;
struct store_ops {
    int (*get)(struct store *s, const char *key, struct buf *ret, struct err *err);
    int (*head)(struct store *s, const char *key, int64_t *ret_size, int64_t *ret_time_ms, struct err *err);
    int (*put)(struct store *s, const char *key, struct str bytes, struct err *err);
    int (*put_if_absent)(struct store *s, const char *key, struct str bytes, struct err *err);
    int (*list)(struct store *s, const char *dir, const char *start_after, bool recursive, struct store_list *ret,
                struct err *err);
    int (*remove)(struct store *s, const char *key, struct err *err);
    int (*adopt)(struct store *s, const char *local_path, const char *key, struct err *err);
    void (*temp_path)(struct store *s, const char *suffix, struct buf *ret);
    void (*engine_path)(struct store *s, const char *key, struct buf *ret);
    void (*free)(struct store *s);
    int (*put_soon)(struct store *s, const char *key, struct str bytes, struct err *err); /* NULL: as put */
};

struct store { /* first member of each implementation */
    const struct store_ops *ops;
    atomic_int refs;
    char *name; /* of the root, for messages: a folder or a URL without secrets */
};

/* A folder of the local file system; it need not exist yet. One reference. */
struct store *store_local_new(const char *root);
/* The folder that a user's word for a table or lake means: "/data/t", "t", "file:///data/t". Borrows from `path`. ERR_USAGE:
 * the URL of something else ("s3://bucket/t"), which would be taken for a folder named "s3:". */
int store_local_root(struct str path, struct str *ret, struct err *err) MUST_CHECK;
struct store *store_ref(struct store *s);
void store_unref(struct store *s); /* takes NULL */
static inline void store_unrefp(struct store **s)
{
    store_unref(*s);
    *s = NULL;
}

/* Appends the object to `ret`, bounded by its max (ERR_LIMIT). ERR_NOT_FOUND. */
int store_get(struct store *s, const char *key, struct buf *ret, struct err *err) MUST_CHECK;
/* Size and time of an object; either may be NULL. ERR_NOT_FOUND. */
int store_head(struct store *s, const char *key, int64_t *ret_size, int64_t *ret_time_ms, struct err *err) MUST_CHECK;
/* Replaces the object. */
int store_put(struct store *s, const char *key, struct str bytes, struct err *err) MUST_CHECK;
/*
 * Creates an object of a fresh name that nothing names yet: a data file, a file of deletion vectors. It can be read at once, and is
 * durable before the next store_put_if_absent() of this store makes anything visible. Until then a crash may leave it
 * incomplete.
 */
int store_put_soon(struct store *s, const char *key, struct str bytes, struct err *err) MUST_CHECK;
/* Creates the object: of several who try, one succeeds and the others get ERR_EXISTS. */
int store_put_if_absent(struct store *s, const char *key, struct str bytes, struct err *err) MUST_CHECK;
/*
 * Objects in the folder `dir` ("" or "_delta_log/…", without a trailing '/') whose key is > start_after (may be NULL),
 * with those of its subfolders when recursive. A folder that does not exist is empty. Folders are not listed. `ret`
 * must be {0} or deinited by the caller.
 */
int store_list(struct store *s, const char *dir, const char *start_after, bool recursive, struct store_list *ret,
               struct err *err) MUST_CHECK;
/* A key that does not exist is fine. */
int store_remove(struct store *s, const char *key, struct err *err) MUST_CHECK;
/* Where to write a local file that store_adopt shall take: a fresh name that ends in `suffix` (".parquet"). The folder
 * exists or is made. Appends a path and its 0 is there. */
void store_temp_path(struct store *s, const char *suffix, struct buf *ret);
/* Makes the local file the object `key`, durably; the local file is gone afterwards, on failure too. */
int store_adopt(struct store *s, const char *local_path, const char *key, struct err *err) MUST_CHECK;
/* What DuckDB opens to read the object: an absolute path, or later an s3:// URL. */
void store_local_path(struct store *s, const char *key, struct buf *ret);

#endif
