/* Any bytes as a commit: parsed or refused; what is parsed can be written and parsed again. */
#include "codec/delta_action.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(arena_deinit) struct arena arena = {0};
    CLEANUP(buf_deinit) struct buf out = {0};
    struct delta_actions a = {0}, again = {0};
    struct err err;

    if (delta_actions_parse(str_make(data, size), &arena, &a, &err) < 0)
        return 0;
    for (size_t i = 0; i < a.n; i++)
        delta_action_write(&out, &a.v[i]);
    int rc = delta_actions_parse(buf_str(&out), &arena, &again, &err);
    assert(rc == 0 && again.n == a.n);
    return 0;
}
