/*
 * A server that says nothing while a statement runs: is it at work, or will no answer come? TCP cannot tell, for it is answered by
 * kernels and proxies; another connection can, by what the server says of the process.
 */
#ifndef SLUICE_SOURCE_PG_STALL_H
#define SLUICE_SOURCE_PG_STALL_H

#include "source/pg_conn.h"

struct pg_stall_question {
    const char *url;    /* borrowed */
    const char *server; /* pg_conn_server(); borrowed */
    int pid, cancel_fd;
    bool first; /* what is learnt is logged */
    int64_t silent_us;
};

/* 0: it is at work, wait on. ERR_NET: it is not, and `err` says what it is. ERR_CANCELLED. */
int pg_stall_look(const struct pg_stall_question *q, struct err *err) MUST_CHECK;

#endif
