/* spark_double_text(x), spark_float_text(x) in SQL: the text of numbers as Spark has it (Java's): 1.0E10, 1.0E-4, 123456.789, NaN, -Infinity. */
#include "engine/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { LEAST = -3, MOST = 6 }; /* exponents of ten that are written out */

/* The shortest of at least two digits that read back as the same number: "123", and the exponent of the first. */
static int shortest(double d, bool is_float, char digits[24])
{
    char text[40];
    size_t n = 0;

    for (int more = 1; more <= (is_float ? 8 : 16); more++) {
        snprintf(text, sizeof text, "%.*e", more, d);
        if (is_float ? strtof(text, NULL) == (float)d : strtod(text, NULL) == d)
            break;
    }
    char *power = strchr(text, 'e');
    for (char *p = text; p < power; p++)
        if (*p != '.')
            digits[n++] = *p;
    while (n > 1 && digits[n - 1] == '0')
        n--;
    digits[n] = 0;
    return (int)strtol(power + 1, NULL, 10);
}

static void add_text(double d, bool is_float, struct buf *out)
{
    char digits[24];

    if (isnan(d) || isinf(d)) {
        buf_add_cstr(out, isnan(d) ? "NaN" : d > 0 ? "Infinity" : "-Infinity");
        return;
    }
    if (signbit(d))
        buf_add_char(out, '-');
    int power = shortest(fabs(d), is_float, digits);
    bool scientific = d != 0 && (power < LEAST || power > MOST);
    int whole = scientific ? 1 : power + 1; /* digits before the point */
    buf_add_cstr(out, whole <= 0 ? "0." : "");
    for (int i = whole; i < 0; i++)
        buf_add_char(out, '0');
    const char *next = digits;
    for (int i = 0; i < whole; i++)
        buf_add_char(out, *next ? *next++ : '0');
    if (whole > 0)
        buf_add_cstr(out, *next ? "." : ".0");
    buf_add_cstr(out, next);
    if (scientific)
        buf_printf(out, "E%d", power);
}

static void text_run(duckdb_data_chunk in, duckdb_vector out, bool is_float)
{
    CLEANUP(buf_deinit) struct buf text = {0};
    duckdb_vector from = duckdb_data_chunk_get_vector(in, 0);
    const void *values = duckdb_vector_get_data(from);
    const uint64_t *valid = duckdb_vector_get_validity(from);

    for (idx_t i = 0; i < duckdb_data_chunk_get_size(in); i++) {
        if (!valid_bit(valid, i)) {
            duckdb_vector_ensure_validity_writable(out);
            duckdb_validity_set_row_invalid(duckdb_vector_get_validity(out), i);
            continue;
        }
        buf_reset(&text);
        add_text(is_float ? (double)((const float *)values)[i] : ((const double *)values)[i], is_float, &text);
        duckdb_vector_assign_string_element_len(out, i, text.p, text.n);
    }
}

static void float_run(duckdb_function_info info, duckdb_data_chunk in, duckdb_vector out)
{
    (void)info;
    text_run(in, out, true);
}

static void double_run(duckdb_function_info info, duckdb_data_chunk in, duckdb_vector out)
{
    (void)info;
    text_run(in, out, false);
}

static int add_function(struct engine_conn *conn, const char *name, duckdb_type from, duckdb_scalar_function_t run,
                        struct err *err)
{
    CLEANUP(duckdb_destroy_scalar_function) duckdb_scalar_function f = duckdb_create_scalar_function();
    CLEANUP(duckdb_destroy_logical_type) duckdb_logical_type number = duckdb_create_logical_type(from);
    CLEANUP(duckdb_destroy_logical_type) duckdb_logical_type text = duckdb_create_logical_type(DUCKDB_TYPE_VARCHAR);

    duckdb_scalar_function_set_name(f, name);
    duckdb_scalar_function_add_parameter(f, number);
    duckdb_scalar_function_set_return_type(f, text);
    duckdb_scalar_function_set_special_handling(f); /* NULLs are seen */
    duckdb_scalar_function_set_function(f, run);
    if (duckdb_register_scalar_function(conn->c, f) != DuckDBSuccess)
        return err_set(err, ERR_INTERNAL, "DuckDB does not take the function %s()", name);
    return 0;
}

int spark_text_register(struct engine_conn *conn, struct err *err)
{
    TRY(add_function(conn, "spark_float_text", DUCKDB_TYPE_FLOAT, float_run, err));
    return add_function(conn, "spark_double_text", DUCKDB_TYPE_DOUBLE, double_run, err);
}
