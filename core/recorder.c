#include "core/recorder.h"

#include "core/base/clock.h"
#include "core/mailbox.h"
#include "core/tag.h"

void recorder_note(struct recorder *recorder, uint64_t now_ns, uint64_t tag, int32_t result,
                   uint32_t what) {
    recorder->events[recorder->noted++ % RECORDER_EVENTS] =
        (struct recorder_event){now_ns, tag, result, what};
}

void recorder_tell(const struct recorder *recorder, uint64_t now_ns, struct builder *out) {
    uint32_t count =
        recorder->noted < RECORDER_EVENTS ? recorder->noted : (uint32_t)RECORDER_EVENTS;
    for (uint32_t i = 1; i <= count && !out->full; i++) {
        const struct recorder_event *event =
            &recorder->events[(recorder->noted - i) % RECORDER_EVENTS];
        size_t whole = out->len;
        builder_text(out, i == 1 ? "" : ", ");
        builder_text(out,
                     event->what == 0 ? tag_op_name(tag_op(event->tag)) : mail_name(event->what));
        builder_byte(out, ' ');
        builder_u64(out, tag_slot(event->tag));
        builder_byte(out, '.');
        builder_u64(out, tag_generation(event->tag));
        builder_text(out, event->result < 0 ? "=-" : "=");
        builder_u64(out, (uint64_t)(event->result < 0 ? -(int64_t)event->result : event->result));
        builder_byte(out, '@');
        builder_u64(out, (now_ns - event->at_ns) / NS_PER_US);
        if (out->full)
            out->len = whole;
    }
}
