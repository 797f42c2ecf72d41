/* Spark's text of numbers: spark_double_text(x), spark_float_text(x) in SQL. */
#ifndef SLUICE_ENGINE_SPARK_TEXT_H
#define SLUICE_ENGINE_SPARK_TEXT_H

#include "base/buf.h"

#include <stdbool.h>

void spark_float_text(double d, bool is_float, struct buf *out);

#endif
