/* Any bytes as a delivery: the first byte says where the content header ends and the body begins.
 * What is taken keeps the bounds of an envelope; what is refused says why. */
#include "ingest/amqp/amqp_form.h"
#include "tests/support/client_line_look.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len);

#define DATA_MAX 256

static struct envelope_scratch room;

static void taken_look(const struct envelope *envelope) {
    const struct message_parts *parts = &envelope->parts;
    char payload[2 * DATA_MAX];
    CHECK(parts->id.len == 0 || message_id_check(parts->id) == NULL);
    CHECK(event_check(parts->event) == NULL);
    CHECK(parts->ttl_ns > 0 && parts->ttl_ns <= TTL_NS_MAX);
    CHECK(parts->broadcast == (parts->to_count + parts->group_count == 0));
    name_list_look(&envelope->to, 0, name_check);
    name_list_look(&envelope->groups, 0, name_check);
    name_list_look(&envelope->except, 0, name_check);
    CHECK(parts->payload_max <= sizeof payload);
    struct builder out = builder_over(payload, parts->payload_max);
    envelope_payload(envelope, &out);
    CHECK(!out.full);
}

static void table_look(struct span table) {
    struct span name;
    struct amqp_value value;
    char number[AMQP_NUMBER_BYTES];
    uint64_t whole;
    while (amqp_table_next(&table, &name, &value) == AMQP_STEP_NEXT) {
        if (amqp_number_text(&value, number))
            CHECK(memchr(number, '\0', sizeof number) != NULL);
        (void)amqp_number_u64(&value, &whole);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len) {
    static bool ready;
    if (!ready)
        hash_init(NULL);
    ready = true;
    if (len == 0)
        return 0;
    size_t header_len = at[0] < len - 1 ? at[0] : len - 1, body_len = len - 1 - header_len;
    char *rewritten_bytes = malloc(body_len + 1);
    CHECK(rewritten_bytes != NULL);
    struct amqp_content content = {span_of(at + 1, header_len),
                                   span_of(at + 1 + header_len, body_len)};
    struct builder rewritten = builder_over(rewritten_bytes, body_len);
    struct amqp_properties properties;
    struct envelope envelope;
    struct complaint complaint;
    if (amqp_form_read(&envelope, &room, &content, &rewritten, DATA_MAX, &properties, &complaint))
        taken_look(&envelope);
    else
        complaint_look(&complaint);
    table_look(properties.headers);
    free(rewritten_bytes);
    return 0;
}
