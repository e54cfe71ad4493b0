/* Any bytes as replies of Redis: what is read is what was written, whatever the pieces in which it
 * comes, and within its bounds; all memory is charged and comes back. The first two bytes say how
 * large the pieces and how long a reply may be. */
#include "ha/redis/resp.h"
#include "tests/support/resp_look.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len);

static size_t bytes_max;
static uint64_t memory_max; /* what the header says */

/* Reads everything in pieces of so many bytes, each alone in memory; 0: at once. Returns how many
 * replies there are, and how many bytes they were. */
static unsigned read_all(struct resp_reader *reader, struct span wire, size_t piece, size_t *bytes,
                         bool *is_broken) {
    unsigned replies = 0;
    *bytes = 0;
    *is_broken = false;
    for (size_t from = 0; from < wire.len && !*is_broken;) {
        size_t len = piece == 0 || piece > wire.len - from ? wire.len - from : piece;
        char *alone = malloc(len);
        CHECK(alone != NULL);
        memcpy(alone, wire.at + from, len);
        struct span input = span_of(alone, len);
        struct resp_reply reply;
        enum resp_event event;
        while ((event = resp_next(reader, &input, &reply)) == RESP_REPLY) {
            size_t used = resp_look(&reply, span_skip(wire, *bytes));
            const struct resp_item *last =
                reply.item_count == 0 ? &reply.item : &reply.items[reply.item_count - 1];
            CHECK(last->type == RESP_LONG ? used > bytes_max : used <= bytes_max);
            *bytes += used;
            CHECK(*bytes <= from + len - input.len);
            CHECK(reader->account->used_bytes <= memory_max);
            replies++;
        }
        *is_broken = event == RESP_BROKEN;
        CHECK(*is_broken ? reader->why != NULL : input.len == 0);
        free(alone);
        from += len;
    }
    struct span none = SPAN("");
    struct resp_reply reply;
    CHECK(resp_next(reader, &none, &reply) == (*is_broken ? RESP_BROKEN : RESP_MORE));
    return replies;
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len) {
    if (len < 2)
        return 0;
    static const size_t maxima[] = {16, 100, 4096, 1 << 20};
    bytes_max = maxima[at[1] % 4];
    memory_max = 3 * bytes_max + (1 << 20) + (200 << 10);
    struct budget budget;
    struct account account;
    budget_init(&budget, UINT64_C(64) << 20);
    account_init(&account, &budget);
    struct resp_reader reader;
    CHECK(resp_reader_init(&reader, &account, bytes_max));
    struct span wire = span_of((const char *)at + 2, len - 2);
    size_t whole_bytes, bytes;
    bool whole_broken, is_broken;
    unsigned whole = read_all(&reader, wire, 0, &whole_bytes, &whole_broken);
    CHECK(resp_reader_reset(&reader) && reader.why == NULL);
    unsigned replies = read_all(&reader, wire, 1 + at[0] % 64, &bytes, &is_broken);
    CHECK(whole == replies && whole_bytes == bytes && whole_broken == is_broken);
    resp_reader_fini(&reader);
    CHECK(account.used_bytes == 0);
    account_fini(&account);
    return 0;
}
