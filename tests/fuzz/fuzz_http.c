/* A connection of any bytes, as requests and as replies: how it is cut must not change what comes
 * out, nothing may be read past its end, and llhttp must see the same first body. */
#include "proto/http/http.c"

#include "tests/support/http_caller.h"

#define FUZZ_BODY_MAX 2000

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len);

struct other_body {
    char at[8192];
    size_t len;
};

static int other_on_body(llhttp_t *llhttp, const char *at, size_t len) {
    struct other_body *other = llhttp->data;
    CHECK(len <= sizeof other->at - other->len);
    memcpy(other->at + other->len, at, len);
    other->len += len;
    return 0;
}

static int other_on_message(llhttp_t *llhttp) {
    (void)llhttp;
    return HPE_PAUSED;
}

/* What we take, llhttp takes and reads alike. But it does not know every method; and it refuses
 * some chunk extensions and trailer fields that we drop, which is no other reading of the body. */
static void first_body_compare(struct span input) {
    static const llhttp_settings_t settings = {.on_body = other_on_body,
                                               .on_message_complete = other_on_message};
    static struct other_body other;
    static struct http_request request;
    static char ours[8192];
    struct http_parser parser;
    size_t len = input.len;
    if (len > sizeof ours)
        return;
    memcpy(ours, input.at, len);
    http_parser_init(&parser, FUZZ_BODY_MAX);
    if (http_request_next(&parser, ours, &len, &request) != HTTP_EVENT_WHOLE ||
        request.method == HTTP_METHOD_OTHER)
        return;
    CHECK(request.body.len <= FUZZ_BODY_MAX && request.size <= input.len);
    CHECK(request.path.len != 0 && (request.path.at[0] == '/' || request.path.at[0] == '*'));
    llhttp_t llhttp;
    llhttp_init(&llhttp, HTTP_REQUEST, &settings);
    llhttp.data = &other;
    other.len = 0;
    /* Where no chunks were taken out, it gets the head with blanks for tabs, as in http.c. */
    llhttp_errno_t error = llhttp_execute(&llhttp, request.chunked ? input.at : ours, input.len);
    if (error != HPE_PAUSED && error != HPE_OK && request.chunked)
        return;
    CHECK(error == HPE_PAUSED, "%s", llhttp_get_error_reason(&llhttp));
    CHECK(span_equal(request.body, span_of(other.at, other.len)));
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len) {
    static struct transcript whole, pieces;
    struct span input = span_of(at, len);
    size_t step = len == 0 ? 1 : 1 + at[len - 1] % 29u;
    if (len == 0)
        return 0;
    for (enum side side = REQUESTS; side <= REPLIES_TO_HEAD; side++) {
        transcribe(&whole, side, input, FUZZ_BODY_MAX, 0, 0);
        transcribe(&pieces, side, input, FUZZ_BODY_MAX, 0, 1);
        CHECK(strcmp(whole.text, pieces.text) == 0, "byte by byte:\n%s\nis not\n%s", pieces.text,
              whole.text);
        transcribe(&pieces, side, input, FUZZ_BODY_MAX, len / 2, step);
        CHECK(strcmp(whole.text, pieces.text) == 0, "by %zu:\n%s\nis not\n%s", step, pieces.text,
              whole.text);
    }
    first_body_compare(input);
    return 0;
}
