/* Any bytes as an encoded text, as a query, and as base64: what comes out is right, and comes back.
 */
#include "core/base/check.h"
#include "proto/text/base64.h"
#include "proto/text/percent.h"
#include "proto/text/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len);

#define INPUT_BYTES_MAX 4096

static void text_look(struct span raw, enum percent_mode mode) {
    static char first[INPUT_BYTES_MAX], encoded[3 * INPUT_BYTES_MAX], second[INPUT_BYTES_MAX];
    struct builder scratch = builder_over(first, sizeof first);
    struct span text, again;
    size_t offset = SIZE_MAX;
    const char *wrong = percent_text(raw, mode, &scratch, &text, &offset);
    if (wrong != NULL) {
        CHECK(offset < raw.len, "%s at %zu", wrong, offset);
        return;
    }
    CHECK(text.len <= raw.len && utf8_valid(text, NULL));
    CHECK(text.len == 0 || memchr(text.at, '\0', text.len) == NULL);
    struct builder out = builder_over(encoded, sizeof encoded);
    percent_encode(&out, text);
    CHECK(!out.full && out.len <= percent_encode_max(text.len));
    for (size_t i = 0; i < out.len; i++)
        CHECK(encoded[i] > 0x20 && encoded[i] < 0x7F);
    scratch = builder_over(second, sizeof second);
    CHECK(percent_text(builder_span(&out), PERCENT_PATH, &scratch, &again, NULL) == NULL);
    CHECK(span_equal(text, again));
}

static void query_look(struct span query) {
    struct span rest = query, name, value;
    size_t seen = 0, separators = 0;
    for (size_t i = 0; i < query.len; i++)
        separators += query.at[i] == '&';
    while (query_next(&rest, &name, &value)) {
        CHECK(name.len == 0 || memchr(name.at, '=', name.len) == NULL);
        CHECK(name.len == 0 || memchr(name.at, '&', name.len) == NULL);
        CHECK(value.len == 0 || memchr(value.at, '&', value.len) == NULL);
        seen++;
        text_look(name, PERCENT_QUERY);
        text_look(value, PERCENT_QUERY);
    }
    CHECK(seen <= separators + 1 && rest.len == 0);
}

static void base64_look(struct span input) {
    static char text[2 * INPUT_BYTES_MAX], bytes[2 * INPUT_BYTES_MAX];
    struct builder out = builder_over(text, sizeof text), back = builder_over(bytes, sizeof bytes);
    base64_encode(&out, input);
    CHECK(!out.full && out.len == base64_len(input.len));
    CHECK(base64_decode(builder_span(&out), &back) == NULL);
    CHECK(span_equal(builder_span(&back), input));
    /* What is taken is what would be written. */
    back = builder_over(bytes, sizeof bytes);
    if (base64_decode(input, &back) != NULL)
        return;
    out = builder_over(text, sizeof text);
    base64_encode(&out, builder_span(&back));
    CHECK(span_equal(builder_span(&out), input));
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len) {
    if (len > INPUT_BYTES_MAX)
        return 0;
    struct span input = span_of(at, len);
    text_look(input, PERCENT_PATH);
    text_look(input, PERCENT_QUERY);
    query_look(input);
    base64_look(input);
    return 0;
}
