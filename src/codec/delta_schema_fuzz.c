/* Any bytes as a schemaString: parsed or refused; what is parsed is written and parsed to the same. */
#include "codec/delta_schema.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(schema_unrefp) struct schema *s = NULL;
    CLEANUP(schema_unrefp) struct schema *again = NULL;
    CLEANUP(buf_deinit) struct buf out = {0};
    CLEANUP(buf_deinit) struct buf second = {0};
    struct err err;

    if (delta_schema_parse(str_make(data, size), &s, &err) < 0)
        return 0;
    delta_schema_write(s, &out);
    int rc = delta_schema_parse(buf_str(&out), &again, &err);
    assert(rc == 0);
    delta_schema_write(again, &second);
    assert(str_eq(buf_str(&out), buf_str(&second)));
    return 0;
}
