/* Any bytes as what a client sends over WebSocket: how they are cut must not change what comes out,
 * nothing may be read past its end, and a second reading must see the same. The last byte says
 * where to cut and what the limits are. */
#include "proto/ws/ws_frame.c"

#include "tests/support/ws_caller.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len);

static void same(const struct transcript *a, const struct transcript *b, const char *how) {
    CHECK(strcmp(a->text, b->text) == 0, "%s:\n%s\nis not\n%s", how, b->text, a->text);
}

/* What is written is a frame that a client would read: looked at by hand. */
static void close_look(struct span reason, unsigned code) {
    char room[WS_CONTROL_BYTES_MAX + 2];
    struct builder out = builder_over(room, sizeof room);
    if (!utf8_valid(reason, NULL) || !ws_close_code_is_good(code))
        return;
    ws_close_write(&out, (uint16_t)code, reason);
    CHECK(!out.full && out.len >= 4 && out.len == 2 + (size_t)room[1] && room[0] == (char)0x88);
    CHECK(utf8_valid(span_of(room + 4, out.len - 4), NULL));
    CHECK(out.len - 4 == reason.len || out.len - 4 >= WS_CONTROL_BYTES_MAX - 2 - 3);
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len) {
    static struct transcript whole, pieces, otherwise;
    if (len < 2 || len > 16384)
        return 0;
    unsigned last = at[len - 1];
    struct ws_limits limits = {(last & 1) != 0 ? 300 : 9, (last & 2) != 0};
    struct span input = span_of(at, len - 1);
    transcribe(&whole, input, &limits, 0, 0);
    transcribe_otherwise(&otherwise, input, &limits);
    same(&otherwise, &whole, "read otherwise");
    transcribe(&pieces, input, &limits, 0, 1);
    same(&whole, &pieces, "byte by byte");
    transcribe(&pieces, input, &limits, last * len / 256, 1 + last % 29u);
    same(&whole, &pieces, "in pieces");
    close_look(input, (unsigned)at[0] << 8 | at[1]);
    return 0;
}
