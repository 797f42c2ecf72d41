/* Checkpoints are read here. */
#include "delta/log.h"

int delta_replay_checkpoint(struct delta_replay *r, const struct delta_log_checkpoint *c, struct err *err)
{
    return err_set(err, ERR_UNSUPPORTED, "not yet");
}
