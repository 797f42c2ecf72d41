/* Inside `sluice debug`: hops that take messages of the replication stream. */
#ifndef SLUICE_CLI_DEBUG_H
#define SLUICE_CLI_DEBUG_H

#include "base/err.h"
#include "base/str.h"

#include <stdio.h>

/* Prints each message; `in_stream`: the input begins between Stream Start and Stream Stop. */
int debug_decode(FILE *in, bool in_stream, struct err *err) MUST_CHECK;
/* Assembles messages to rows, as sync does, and prints the calls that a sink would get. */
int debug_batch(FILE *in, struct err *err) MUST_CHECK;

/* A printer of messages that remembers the relations it has seen. */
struct debug_printer;
struct debug_printer *debug_printer_new(bool in_stream);
void debug_printer_free(struct debug_printer *p); /* takes NULL */
DEFINE_FREEP(debug_printer)
/* One line (more for a relation's columns); a message that cannot be read is told with the reason, and no error. */
void debug_print(struct debug_printer *p, uint64_t lsn, struct str message, FILE *out);

/* The messages of a file: {"lsn":"0/1A","data":"<hex>"} a line, or hex a line, or u32 big-endian length and bytes. */
struct debug_input {
    FILE *in;
    char form; /* '{', 'x', 'r'; 0 not looked yet */
    char *line;
    size_t line_cap;
    char *bytes;
    size_t cap;
    uint64_t n; /* messages or lines so far */
};
void debug_input_deinit(struct debug_input *i);
/* 0 and a message (borrowed until the next call; *ret_lsn 0: not said), 1 at the end. */
int debug_input_next(struct debug_input *i, uint64_t *ret_lsn, struct str *ret, struct err *err) MUST_CHECK;

#endif
