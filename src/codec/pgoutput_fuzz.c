/* Fuzz target: any bytes as a replication message; what is accepted is walked to its end. */
#include "codec/pgoutput.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static unsigned walk(struct pgoutput_tuple t)
{
    struct pgoutput_value v;
    unsigned sum = 0;

    while (pgoutput_tuple_next(&t, &v))
        for (size_t i = 0; i < v.bytes.n; i++)
            sum += (uint8_t)v.bytes.p[i];
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    unsigned sink = 0;
    struct pgoutput_msg m;
    struct pgoutput_column col;

    if (!n || pgoutput_read(data + 1, n - 1, data[0] & 1, &m, NULL) < 0)
        return 0;
    if (m.tag == 'I' || m.tag == 'U' || m.tag == 'D')
        sink += walk(m.row.old_row) + walk(m.row.new_row);
    if (m.tag == 'R')
        while (pgoutput_columns_next(&m.relation.columns, &col))
            sink += (unsigned)str_is_utf8(col.name) + col.type_oid;
    if (m.tag == 'T')
        for (uint32_t i = 0; i < m.truncate.n; i++)
            sink += pgoutput_truncate_oid(&m, i);
    if (m.tag == 'M')
        sink += (unsigned)str_is_utf8(m.message.content);
    __asm__ volatile("" ::"r"(sink)); /* the reads must happen */
    return 0;
}
