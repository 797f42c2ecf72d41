/*
 * sluice debug: each hop of the data path alone, on captured input or on what lies on disk. Nothing is changed.
 *
 *   receive → spool   debug spool DIR       segments, blocks, with --frames each frame
 *   decode            debug decode          messages in words
 *   assemble          debug batch           messages as the rows that a sink gets
 *   commit            debug log TABLE       the Delta log, a line a version
 *   key index         debug index FILE      what the head of the file says
 */
#include "cli/debug.h"

#include "base/clock.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "delta/index/key_index.h"
#include "delta/log/log.h"
#include "model/position.h"
#include "spool/spool_look.h"

#include <inttypes.h>
#include <stddef.h>
#include <string.h>

struct options {
    bool stream, frames, json;
};

/* ---- spool ---- */

struct spool_printer {
    const struct options *o;
    struct debug_printer *messages;
};

static int print_segment(void *ctx, const struct spool_segment_header *h, uint64_t bytes, struct err *err)
{
    const struct spool_printer *p = ctx;
    char at[CLOCK_TEXT], commit[LSN_TEXT], end[LSN_TEXT];

    (void)err;
    if (!p->o->json)
        printf("segment %016" PRIx64 " bytes=%llu created=%s after commit_lsn=%s end_lsn=%s\n", h->segment,
               (unsigned long long)bytes, clock_text(h->created_us, at), lsn_text(h->state.commit_lsn, commit),
               lsn_text(h->state.end_lsn, end));
    return 0;
}

static int print_block(void *ctx, const struct spool_block *b, struct err *err)
{
    const struct spool_printer *p = ctx;
    char first[LSN_TEXT], commit[LSN_TEXT];

    (void)err;
    if (!p->o->json)
        printf("  block at %llu raw=%u stored=%u%s%s%s%s first_lsn=%s commit_lsn=%s\n", (unsigned long long)b->offset,
               b->raw_len, b->stored_len, b->flags & SPOOL_BLOCK_ZSTD ? " zstd" : "",
               b->flags & SPOOL_BLOCK_BOUNDARY ? " boundary" : "", b->flags & SPOOL_BLOCK_CLEAN ? " clean" : "",
               b->flags & SPOOL_BLOCK_CONTEXT ? " context" : "", lsn_text(b->first_lsn, first),
               lsn_text(b->state.commit_lsn, commit));
    return 0;
}

static int print_frame(void *ctx, const struct spool_block *b, uint32_t offset, const struct spool_frame *f,
                       struct err *err)
{
    struct spool_printer *p = ctx;
    char at[LSN_TEXT];

    (void)b;
    (void)err;
    if (p->o->json) { /* what `debug decode` and `debug batch` read */
        if (f->kind == SPOOL_RESTART)
            return 0;
        printf("{\"lsn\":\"%s\",\"data\":\"", lsn_text(f->lsn, at));
        for (size_t i = 0; i < f->payload.n; i++)
            printf("%02x", (uint8_t)f->payload.p[i]);
        puts("\"}");
        return 0;
    }
    printf("    %-8u %s", offset, f->kind == SPOOL_CONTEXT ? "context " : "");
    if (f->kind == SPOOL_RESTART)
        puts("RESTART");
    else
        debug_print(p->messages, f->lsn, f->payload, stdout);
    return 0;
}

static int print_torn(void *ctx, uint64_t segment, uint64_t offset, uint64_t bytes, const struct err *why,
                      struct err *err)
{
    (void)ctx;
    (void)err;
    fprintf(stderr, "segment %016" PRIx64 ": %llu bytes from %llu on are no whole block: %s\n", segment,
            (unsigned long long)bytes, (unsigned long long)offset, why->msg);
    return 0;
}

static int debug_spool(const char *dir, const struct options *o, struct err *err)
{
    CLEANUP(debug_printer_freep) struct debug_printer *messages = debug_printer_new(false);
    struct spool_printer p = {o, messages};
    struct spool_visitor v = {print_segment, print_block, o->frames || o->json ? print_frame : NULL, print_torn, &p};
    struct spool_look look;

    TRY(spool_look(dir, &look, err));
    if (!look.n_segments)
        return err_set(err, ERR_NOT_FOUND, "%s has no segment of a spool", dir);
    if (look.in_use)
        fprintf(stderr, "process %d has it open: it goes on writing and trimming\n", look.pid);
    return spool_walk(dir, 0, &v, err);
}

/* ---- log ---- */

struct tally {
    unsigned n;
    int64_t bytes, rows;
};

static void add_file(struct tally *t, const struct delta_file *f)
{
    t->n++;
    t->bytes += MAX(f->size, 0);
    t->rows += MAX(f->num_records, 0);
}

static void print_tally(const char *what, const struct tally *t)
{
    if (t->n)
        printf(" %s=%u(rows=%lld bytes=%lld)", what, t->n, (long long)t->rows, (long long)t->bytes);
}

static void print_action(const struct delta_action *a)
{
    char at[LSN_TEXT];

    switch (a->kind) {
    case DELTA_METADATA:
        printf(" metadata(id=%.*s properties=%u)", STR_ARG(a->metadata->id), a->metadata->n_configuration);
        break;
    case DELTA_PROTOCOL:
        printf(" protocol(%d,%d", a->protocol->reader, a->protocol->writer);
        for (uint32_t i = 0; i < a->protocol->n_writer_features; i++)
            printf(" %.*s", STR_ARG(a->protocol->writer_features[i]));
        putchar(')');
        break;
    case DELTA_TXN:
        printf(" txn(%.*s %lld", STR_ARG(a->txn->app_id), (long long)a->txn->version);
        if (str_has_prefix(a->txn->app_id, STR("sluice/")))
            printf(" = %s", lsn_text((uint64_t)a->txn->version, at));
        putchar(')');
        break;
    case DELTA_DOMAIN:
        printf(" domain(%.*s%s)", STR_ARG(a->domain->domain), a->domain->removed ? " removed" : "");
        break;
    default:
        break;
    }
}

static void print_version(const struct delta_log_commit *commit, const struct delta_actions *actions)
{
    struct tally add = {0}, removed = {0}, cdc = {0}, vectors = {0};
    const struct delta_commit_info *info = NULL;
    char at[CLOCK_TEXT];

    for (size_t i = 0; i < actions->n; i++) {
        const struct delta_action *a = &actions->v[i];
        if (a->kind == DELTA_COMMIT_INFO)
            info = a->commit_info;
        if (a->kind == DELTA_ADD)
            add_file(&add, a->file);
        if (a->kind == DELTA_REMOVE)
            add_file(&removed, a->file);
        if (a->kind == DELTA_CDC)
            add_file(&cdc, a->file);
        if (a->kind == DELTA_ADD && a->file->dv) {
            vectors.n++;
            vectors.rows += a->file->dv->cardinality;
        }
    }
    printf("%lld %s", (long long)commit->version, clock_text(commit->time_ms * 1000, at));
    if (info && info->operation.n)
        printf(" \"%.*s\"", STR_ARG(info->operation));
    print_tally("add", &add);
    print_tally("remove", &removed);
    print_tally("cdc", &cdc);
    if (vectors.n)
        printf(" vectors=%u(rows=%lld)", vectors.n, (long long)vectors.rows);
    for (size_t i = 0; i < actions->n; i++)
        print_action(&actions->v[i]);
    putchar('\n');
}

static int print_log(struct store *store, const struct delta_log *log, struct err *err)
{
    size_t next = 0;

    for (size_t i = 0; i < log->n_commits; i++) {
        CLEANUP(arena_deinit) struct arena arena = {0};
        struct delta_actions actions = {0};
        TRY(delta_commit_read(store, log->commits[i].version, &arena, &actions, err));
        print_version(&log->commits[i], &actions);
        for (; next < log->n_checkpoints && log->checkpoints[next].version <= log->commits[i].version; next++)
            printf("  checkpoint %lld in %d file%s\n", (long long)log->checkpoints[next].version,
                   log->checkpoints[next].n_keys, log->checkpoints[next].n_keys == 1 ? "" : "s");
    }
    return 0;
}

static int debug_log(const char *dir, struct err *err)
{
    CLEANUP(store_unrefp) struct store *store = store_local_new(dir);
    CLEANUP(delta_log_deinit) struct delta_log log = {0};

    TRY(delta_log_list(store, 0, &log, err));
    if (!log.n_commits && !log.n_checkpoints)
        return err_set(err, ERR_NOT_FOUND, "%s is no Delta table", dir);
    return print_log(store, &log, err);
}

/* ---- index ---- */

static int debug_index(const char *path, struct err *err)
{
    struct key_index_file f;

    TRY(key_index_look(path, &f, err));
    printf("format      %u\nversion     %lld\nentries     %llu\nslots       %llu (%.0f %% used)\nbytes       %llu\n",
           f.format, (long long)f.version, (unsigned long long)f.n, (unsigned long long)f.cap,
           f.cap ? 100.0 * (double)f.n / (double)f.cap : 0.0, (unsigned long long)f.bytes);
    printf("table       %016" PRIx64 "\nfingerprint %016" PRIx64 "\nclean       %s\nsynced      %s\nboot        %s\n",
           f.table_id, f.fingerprint, f.clean ? "yes" : "no: it will be built anew", f.synced ? "yes" : "no",
           f.this_boot ? "this one" : "an earlier one");
    return 0;
}

/* ---- the command ---- */

static int with_input(char **args, uint32_t n_args, const struct options *o, struct err *err)
{
    FILE *in = n_args > 1 && strcmp(args[1], "-") != 0 ? fopen(args[1], "re") : stdin;

    if (!in)
        return err_set_errno(err, "cannot read %s", args[1]);
    int rc = strcmp(args[0], "batch") == 0 ? debug_batch(in, err) : debug_decode(in, o->stream, err);
    if (in != stdin)
        fclose(in);
    return rc;
}

static int run(void *options, char **args, uint32_t n_args, struct err *err)
{
    static const char *const names[] = {"decode", "batch", "spool", "log", "index"};
    const struct options *o = options;
    const char *hop = args[0];
    int rc;

    if (strcmp(hop, "decode") == 0 || strcmp(hop, "batch") == 0) {
        rc = with_input(args, n_args, o, err);
    } else if (strcmp(hop, "spool") != 0 && strcmp(hop, "log") != 0 && strcmp(hop, "index") != 0) {
        const char *close = cli_closest(hop, names, ARRAY_LEN(names));
        err_set(err, ERR_USAGE, "there is no hop \"%s\"", hop);
        return close ? err_hint(err, "did you mean %s?", close) : err_hint(err, "see sluice help debug");
    } else if (n_args < 2) {
        return err_set(err, ERR_USAGE, "debug %s wants a path", hop);
    } else {
        rc = strcmp(hop, "spool") == 0 ? debug_spool(args[1], o, err)
             : strcmp(hop, "log") == 0 ? debug_log(args[1], err)
                                       : debug_index(args[1], err);
    }
    if (fflush(stdout) && rc == 0)
        return err_set_errno(err, "writing the result");
    return rc;
}

static const struct cli_option OPTIONS[] = {
    {"stream", 0, CLI_FLAG, offsetof(struct options, stream), NULL, "decode: the input begins inside a streamed chunk"},
    {"frames", 0, CLI_FLAG, offsetof(struct options, frames), NULL, "spool: each frame too, decoded"},
    {"json", 0, CLI_FLAG, offsetof(struct options, json), NULL,
     "spool: only the frames, as decode and batch read them"},
};

const struct command command_debug = {
    .name = "debug",
    .args = "decode|batch [FILE] | spool DIR | log TABLE_DIR | index FILE",
    .summary = "each hop of the data path alone",
    .details =
        "  decode   messages of PostgreSQL's pgoutput in words\n"
        "  batch    messages as the rows that a sink gets from them\n"
        "  spool    segments and blocks of a spool (LAKE/_sluice/spool), also while sync runs\n"
        "  log      a Delta table's log, a line a version\n"
        "  index    the head of a key index (LAKE/_sluice/index/…)\n"
        "\n"
        "decode and batch read FILE or standard input: a message a line, as {\"lsn\":\"0/1A2B\",\"data\":\"<hex>\"} or hex\n"
        "alone, or binary, each message after its length (32 bits, big-endian).\n"
        "\n"
        "  sluice debug spool lake/_sluice/spool --json | sluice debug batch\n",
    CLI_OPTIONS(OPTIONS),
    .options_size = sizeof(struct options),
    .min_args = 1,
    .max_args = 2,
    .run = run,
};
