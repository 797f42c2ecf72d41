/* Random UUIDs, of the system's random numbers; without them nothing can be named, so that the process ends. */
#include "delta/log/uuid.h"

#include "codec/dv.h"

#include <stdlib.h>
#include <sys/random.h>

static void random_uuid(uint8_t b[16])
{
    if (getrandom(b, 16, 0) != 16)
        abort();
    b[6] = (b[6] & 0x0f) | 0x40;
    b[8] = (b[8] & 0x3f) | 0x80;
}

char *delta_uuid(char out[DELTA_UUID])
{
    uint8_t b[16];

    random_uuid(b);
    snprintf(out, DELTA_UUID, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0], b[1], b[2],
             b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
    return out;
}

void delta_new_vectors(struct buf *ret_name, struct buf *ret_path)
{
    uint8_t b[16];

    random_uuid(b);
    dv_uuid_text(STR(""), b, ret_name);
    dv_uuid_path(STR(""), b, ret_path);
}
