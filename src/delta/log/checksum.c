/* <version>.crc: the snapshot that a commit left in memory, as JSON. */
#include "delta/log/checksum.h"

#include "base/log.h"
#include "delta/log/log.h"

enum { MAX_IDS = 1000 }; /* more than that are left out, as the protocol allows */

/* The object of an action, without the {"kind":…} around it. */
static void add_object(struct buf *out, const struct delta_action *a, const char *kind)
{
    CLEANUP(buf_deinit) struct buf line = {0};
    size_t head = strlen(kind) + 4; /* {"kind": */

    delta_action_write(&line, a);
    buf_add(out, line.p + head, line.n - head - 2); /* }\n */
}

static void add_ids(struct buf *out, const struct delta_ids *ids)
{
    if (ids->n_txns <= MAX_IDS) {
        buf_add_cstr(out, ",\"setTransactions\":[");
        for (uint32_t i = 0; i < ids->n_txns; i++) {
            buf_add_cstr(out, i ? "," : "");
            add_object(out, &(struct delta_action){.kind = DELTA_TXN, .txn = &ids->txns[i]}, "txn");
        }
        buf_add_char(out, ']');
    }
    if (ids->n_domains <= MAX_IDS) {
        buf_add_cstr(out, ",\"domainMetadata\":[");
        for (uint32_t i = 0; i < ids->n_domains; i++) {
            buf_add_cstr(out, i ? "," : "");
            add_object(out, &(struct delta_action){.kind = DELTA_DOMAIN, .domain = &ids->domains[i]}, "domainMetadata");
        }
        buf_add_char(out, ']');
    }
}

void delta_checksum_write(struct store *store, const struct delta_snapshot *s, struct str txn_id)
{
    CLEANUP(buf_deinit) struct buf json = {0};
    char key[DELTA_KEY];
    struct err err = {0};

    buf_add_char(&json, '{');
    if (txn_id.n) {
        buf_add_cstr(&json, "\"txnId\":");
        buf_add_json_str(&json, txn_id);
        buf_add_char(&json, ',');
    }
    buf_printf(&json, "\"tableSizeBytes\":%lld,\"numFiles\":%llu,\"numMetadata\":1,\"numProtocol\":1",
               (long long)s->bytes, (unsigned long long)s->n_files);
    if (s->ict_ms >= 0)
        buf_printf(&json, ",\"inCommitTimestampOpt\":%lld", (long long)s->ict_ms);
    add_ids(&json, s->ids);
    buf_add_cstr(&json, ",\"metadata\":");
    add_object(&json, &(struct delta_action){.kind = DELTA_METADATA, .metadata = s->head->metadata}, "metaData");
    buf_add_cstr(&json, ",\"protocol\":");
    add_object(&json, &(struct delta_action){.kind = DELTA_PROTOCOL, .protocol = s->head->protocol}, "protocol");
    buf_add_char(&json, '}');
    snprintf(key, sizeof key, "_delta_log/%020lld.crc", (long long)s->version);
    int rc = store_put_if_absent(store, key, buf_str(&json), &err);
    if (rc < 0 && rc != ERR_EXISTS)
        log_err(LOG_WARN, "checksum_failed", &err);
}
