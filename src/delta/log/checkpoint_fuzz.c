/*
 * Fuzz target: any bytes as a file of a log that says more than its commits do. The first byte chooses which:
 *
 *     0  _last_checkpoint        1  <version>.crc        both are hints: the table opens whatever they say
 *     2  a V2 checkpoint in JSON 3  a checkpoint in Parquet, through the engine: believed, passed over or refused
 */
#include "base/file.h"
#include "base/mem.h"
#include "delta/log/checkpoint.h"
#include "engine/engine.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {"_last_checkpoint", "00000000000000000001.crc",
                                    "00000000000000000001.checkpoint.5a8b3c1e-0000-4000-8000-000000000000.json",
                                    "00000000000000000001.checkpoint.parquet"};
static const char *const commits[] = {
    "{\"protocol\":{\"minReaderVersion\":3,\"minWriterVersion\":7,\"readerFeatures\":[\"v2Checkpoint\"],"
    "\"writerFeatures\":[\"v2Checkpoint\"]}}\n"
    "{\"metaData\":{\"id\":\"f\",\"format\":{\"provider\":\"parquet\",\"options\":{}},\"schemaString\":\"{\\\"type\\\":"
    "\\\"struct\\\",\\\"fields\\\":[{\\\"name\\\":\\\"id\\\",\\\"type\\\":\\\"long\\\",\\\"nullable\\\":true,"
    "\\\"metadata\\\":{}}]}\",\"partitionColumns\":[],\"configuration\":{}}}\n",
    "{\"add\":{\"path\":\"a.parquet\",\"partitionValues\":{},\"size\":1,\"modificationTime\":1,\"dataChange\":true}}\n"};

static char folder[128];
static struct engine *engine;

static void put(const char *name, const void *bytes, size_t n)
{
    char path[256];

    snprintf(path, sizeof path, "%s/_delta_log/%s", folder, name);
    FILE *f = fopen(path, "wb");
    assert(f);
    size_t written = fwrite(bytes, 1, n, f);
    assert(written == n);
    fclose(f);
}

static void remove_folder(void)
{
    engine_free(engine);
    if (file_remove_tree(folder, NULL))
        fprintf(stderr, "%s is left\n", folder);
}

static void setup(void)
{
    const struct engine_options o = {.threads = 1};
    char log[160];

    snprintf(folder, sizeof folder, "%s/checkpoint-fuzz-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
    char *made = mkdtemp(folder);
    assert(made);
    snprintf(log, sizeof log, "%s/_delta_log", folder);
    int rc = file_make_dirs(log, NULL);
    assert(rc == 0);
    rc = engine_open(&o, &engine, NULL);
    assert(rc == 0);
    put("00000000000000000000.json", commits[0], strlen(commits[0]));
    put("00000000000000000001.json", commits[1], strlen(commits[1]));
    atexit(remove_folder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(store_unrefp) struct store *store = NULL;
    CLEANUP(delta_table_freep) struct delta_table *t = NULL;
    struct err err = {0};
    char path[256];

    if (!size)
        return 0;
    if (!engine)
        setup();
    unsigned which = data[0] % ARRAY_LEN(names);
    put(names[which], data + 1, size - 1);
    store = store_local_new(folder);
    int rc = delta_table_open(store, engine, &t, &err);
    if (which < 2)
        assert(rc == 0 && t->snapshot->version == 1 && t->snapshot->n_files == 1);
    snprintf(path, sizeof path, "%s/_delta_log/%s", folder, names[which]);
    unlink(path);
    return 0;
}
