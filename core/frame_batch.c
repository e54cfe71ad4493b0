#include "core/frame_batch.h"

#include "core/base/check.h"
#include "core/base/shortage.h"
#include "core/worker.h"

struct frame_batch *frame_batch_open(struct worker *worker, struct parcel *const *parcels,
                                     uint32_t count, const struct encoding *encoding) {
    CHECK(count >= 1 && count <= FRAME_BATCH_PARTS_MAX);
    const struct frame *frames[FRAME_BATCH_PARTS_MAX];
    uint32_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        frames[i] = parcel_frame(worker, parcels[i], encoding);
        if (SHORTAGE(frames[i] == NULL) || frames[i]->around || frame_is_marked(frames[i]))
            return NULL;
        bytes += frames[i]->total_bytes;
    }
    size_t block_bytes =
        sizeof(struct frame_batch) + count * sizeof(struct frame_batch_part) + bytes;
    struct frame_batch *batch = memory_get(&worker->account, block_bytes);
    if (SHORTAGE(batch == NULL))
        return NULL;
    *batch = (struct frame_batch){.refs = 1,
                                  .count = count,
                                  .bytes = bytes,
                                  .encoding = encoding->index,
                                  .block_bytes = (uint32_t)block_bytes,
                                  .expires_ns = UINT64_MAX,
                                  .accepted_ns = UINT64_MAX};
    stats_add(&worker->stats.batches, 1);
    uint32_t end = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct message *message = parcels[i]->message;
        memcpy(frame_batch_bytes(batch) + end, frames[i]->bytes, frames[i]->total_bytes);
        end += frames[i]->total_bytes;
        parcel_ref(parcels[i]);
        batch->parts[i] = (struct frame_batch_part){parcels[i], frames[i], end};
        batch->of_class[message->class]++;
        if (message->accepted_ns < batch->accepted_ns)
            batch->accepted_ns = message->accepted_ns;
        if (message->expires_ns < batch->expires_ns)
            batch->expires_ns = message->expires_ns;
    }
    return batch;
}

void frame_batch_unref(struct worker *worker, struct frame_batch *batch) {
    CHECK(batch->refs > 0, "a batch was let go too often");
    if (--batch->refs != 0)
        return;
    for (uint32_t i = 0; i < batch->count; i++)
        parcel_unref(worker, batch->parts[i].parcel);
    memory_put(&worker->account, batch, batch->block_bytes);
}
