/* sluice verify */
#include "base/mem.h"
#include "cli/cli.h"
#include "pipeline/verify.h"
#include "source/pg_conn.h"

#include <stddef.h>

struct options {
    const char *tables, *state;
    uint64_t timeout_ms, limit;
};

static int run(void *options, char **args, uint32_t n_args, struct err *err)
{
    const struct options *in = options;
    CLEANUP(mem_freep) char *url = mem_strdup(args[0]);
    struct verify_options o = {.url = url, .state_dir = in->state, .out = stdout};
    CLEANUP(mem_freep) struct str *tables = cli_list(in->tables, &o.n_include);

    (void)n_args;
    pg_url_mask(args[0]);
    TRY(cli_folder(args[1], &o.lake, err));
    o.include = tables;
    o.timeout_us = (int64_t)(in->timeout_ms ? in->timeout_ms : 60000) * 1000;
    o.limit = in->limit ? (uint32_t)MIN(in->limit, 10000u) : 10;
    int rc = verify_run(&o, err);
    if (fflush(stdout) && rc == 0)
        return err_set_errno(err, "writing the report");
    return rc;
}

static const struct cli_option OPTIONS[] = {
    {"tables", 't', CLI_TEXT, offsetof(struct options, tables), "PATTERNS",
     "compare only these: 'public.*,sales.order_?'"},
    {"timeout", 0, CLI_MS, offsetof(struct options, timeout_ms), "TIME",
     "how long to wait for the lake to come to the position (60s)"},
    {"limit", 0, CLI_NUMBER, offsetof(struct options, limit), "N", "differing keys to list of a table (10)"},
    {"state", 0, CLI_TEXT, offsetof(struct options, state), "DIR", "where sync keeps its log and notes (LAKE/_sluice)"},
};

const struct command command_verify = {
    .name = "verify",
    .args = "SOURCE_URL LAKE [--tables PATTERNS]",
    .summary = "compare source and lake at one position: counts, checksums, differing keys",
    .details =
        "Reads every row of both sides. While sync runs, source and clients go on: verify takes a snapshot of the source\n"
        "and lets sync mark the versions of the tables that hold exactly the same transactions. When no sync runs, the\n"
        "lake must have every change of the source, else verify says that it is behind.\n"
        "\n"
        "A table that differs is told with its differing keys, column by column. Values that their type in the lake cannot\n"
        "hold (they are in sluice.dead_letters) are counted and are no difference. -0 and 0 count as equal.\n"
        "\n"
        "exit codes: 0 equal; 1 a table differs, or is quarantined; 2 usage; 3 they cannot be compared now\n"
        "\n"
        "  sluice verify postgres://user:password@host/shop ./lake --tables 'public.*'\n",
    CLI_OPTIONS(OPTIONS),
    .options_size = sizeof(struct options),
    .min_args = 2,
    .max_args = 2,
    .run = run,
};
