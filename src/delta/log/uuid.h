/* Random UUIDs (version 4): ids of tables and transactions, names of files. */
#ifndef SLUICE_DELTA_UUID_H
#define SLUICE_DELTA_UUID_H

#include "base/buf.h"

enum { DELTA_UUID = 37 };
/* As text; returns `out`. */
char *delta_uuid(char out[DELTA_UUID]);
/* A new file of deletion vectors: appends its pathOrInlineDv and its path in the table. */
void delta_new_vectors(struct buf *ret_name, struct buf *ret_path);

#endif
