/*
 * For tests only: files captured from real peers, which live beside the repository in ../shared (or where the environment
 * variable SLUICE_SHARED says). A test that needs them skips with a clear line where they are absent.
 */
#ifndef SLUICE_BASE_TEST_FIXTURE_H
#define SLUICE_BASE_TEST_FIXTURE_H

#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>

/* The path of a file or folder under the fixtures' root in `out`; NULL, with a line on stderr, when it is absent. */
static inline const char *fixture_path(const char *name, char out[4096])
{
    const char *shared = getenv("SLUICE_SHARED"), *root = getenv("SLUICE_SOURCE_ROOT");

    if (shared)
        snprintf(out, 4096, "%s/%s", shared, name);
    else
        snprintf(out, 4096, "%s/../shared/%s", root ? root : ".", name);
    if (file_exists(out))
        return out;
    fprintf(stderr, "skipped: no fixture %s\n", out);
    return NULL;
}

#endif
