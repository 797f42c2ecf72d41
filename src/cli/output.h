/* Results of statements on standard output: an aligned table, CSV, JSON lines, or a line for each value. */
#ifndef SLUICE_CLI_OUTPUT_H
#define SLUICE_CLI_OUTPUT_H

#include "engine/engine.h"

#include <stdio.h>

enum output_format { OUTPUT_TABLE, OUTPUT_CSV, OUTPUT_JSON, OUTPUT_LINES };

/*
 * Prints the whole result. `width` > 0: cuts table lines to so many columns (a terminal), and shows one row alone that does not
 * fit as lines; 0: never cuts. A table is held in
 * memory to be aligned, up to 100,000 rows; what is beyond goes out in blocks of their own. *ret_rows: rows printed.
 */
int output_result(FILE *out, struct engine_result *result, enum output_format format, unsigned width,
                  uint64_t *ret_rows, struct err *err) MUST_CHECK;

#endif
