#include "core/sheaf.h"

#include "core/base/check.h"
#include "core/base/shortage.h"
#include "core/worker.h"

struct sheaf *sheaf_open(struct worker *worker, struct parcel *const *parcels, uint32_t count,
                         const struct encoding *encoding) {
    CHECK(count >= 1 && count <= SHEAF_PARTS_MAX);
    const struct form *forms[SHEAF_PARTS_MAX];
    uint32_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        forms[i] = parcel_form(worker, parcels[i], encoding);
        if (SHORTAGE(forms[i] == NULL) || forms[i]->around)
            return NULL;
        bytes += forms[i]->total_bytes;
    }
    size_t block_bytes = sizeof(struct sheaf) + count * sizeof(struct sheaf_part) + bytes;
    struct sheaf *sheaf = memory_get(&worker->account, block_bytes);
    if (SHORTAGE(sheaf == NULL))
        return NULL;
    *sheaf = (struct sheaf){.refs = 1,
                            .count = count,
                            .bytes = bytes,
                            .block_bytes = (uint32_t)block_bytes,
                            .expires_ns = UINT64_MAX,
                            .accepted_ns = UINT64_MAX};
    stats_add(&worker->stats.sheaves, 1);
    uint32_t end = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct message *message = parcels[i]->message;
        memcpy(sheaf_bytes(sheaf) + end, forms[i]->bytes, forms[i]->total_bytes);
        end += forms[i]->total_bytes;
        parcel_ref(parcels[i]);
        sheaf->parts[i] = (struct sheaf_part){parcels[i], forms[i], end};
        sheaf->of_class[message->class]++;
        if (message->accepted_ns < sheaf->accepted_ns)
            sheaf->accepted_ns = message->accepted_ns;
        if (message->expires_ns < sheaf->expires_ns)
            sheaf->expires_ns = message->expires_ns;
    }
    return sheaf;
}

void sheaf_unref(struct worker *worker, struct sheaf *sheaf) {
    CHECK(sheaf->refs > 0, "a sheaf was let go too often");
    if (--sheaf->refs != 0)
        return;
    for (uint32_t i = 0; i < sheaf->count; i++)
        parcel_unref(worker, sheaf->parts[i].parcel);
    memory_put(&worker->account, sheaf, sheaf->block_bytes);
}
