/* What nodes say to each other over a connection of their own. */
#include "tests/support/cmocka_first.h"

#include "ha/peer/peer_wire.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

static const struct sid a_sid = {.node = 0xabcd, .worker = 3, .slot = 77, .random = {1, 2, 9}};

static void test_heads(void **state) {
    (void)state;
    const struct peer_head heads[] = {
        {.type = PEER_PING},
        {.type = PEER_POLL,
         .number = UINT64_MAX,
         .body_len = 5,
         .ask = {.sid = a_sid, .kind = POLL_POST, .version = 3, .path = 1, .bytes = true}},
        {.type = PEER_POLL,
         .number = 1,
         .ask = {.sid = a_sid, .kind = POLL_GET, .mismatch = true, .jsonp = true}},
        {.type = PEER_ANSWER,
         .number = 2,
         .body_len = PEER_BODY_BYTES_MAX,
         .answer = POLL_ANSWER_BYTES,
         .status = 200},
        {.type = PEER_ANSWER, .number = 2, .answer = POLL_ANSWER_ERROR, .code = 5, .status = 400},
        {.type = PEER_CANCEL, .number = 3, .ask = {.sid = a_sid}},
        {.type = PEER_RELEASE, .number = 4},
    };
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        uint8_t bytes[PEER_HEAD_BYTES], again[PEER_HEAD_BYTES];
        struct peer_head head;
        peer_head_write(&heads[i], bytes);
        assert_true(peer_head_read(bytes, &head));
        assert_int_equal(head.number, heads[i].number);
        assert_int_equal(head.ask.version, heads[i].ask.version);
        assert_int_equal(head.ask.sid.slot, heads[i].ask.sid.slot);
        peer_head_write(&head, again);
        assert_memory_equal(bytes, again, sizeof(bytes));
        bytes[11] = 1; /* where nothing is */
        assert_false(peer_head_read(bytes, &head));
    }
}

static void test_bad_heads(void **state) {
    (void)state;
    const struct peer_head heads[] = {
        {.type = PEER_NO_FRAME, .number = 1},
        {.type = PEER_TYPES, .number = 1},
        {.type = PEER_PING, .number = 1},
        {.type = PEER_RELEASE},
        {.type = PEER_RELEASE, .number = 1, .body_len = 1},
        {.type = PEER_CANCEL, .number = 1, .body_len = 1, .ask = {.sid = a_sid}},
        {.type = PEER_POLL, .number = 1, .body_len = 1, .ask = {.sid = a_sid}},
        {.type = PEER_POLL, .number = 1, .ask = {.sid = a_sid, .kind = POLL_OTHER + 1}},
        {.type = PEER_POLL, .number = 1, .ask = {.sid = a_sid, .version = 2}},
        {.type = PEER_POLL, .number = 1, .ask = {.sid = a_sid, .path = 2}},
        {.type = PEER_ANSWER, .number = 1, .answer = POLL_ANSWER_STARVED + 1, .status = 200},
        {.type = PEER_ANSWER, .number = 1, .answer = POLL_ANSWER_ERROR, .code = 6, .status = 400},
        {.type = PEER_ANSWER, .number = 1, .answer = POLL_ANSWER_TEXT, .status = 200},
        {.type = PEER_ANSWER, .number = 1, .body_len = 1, .status = 200},
        {.type = PEER_ANSWER, .number = 1, .status = 204},
        {.type = PEER_ANSWER, .number = 1, .status = 0},
        {.type = PEER_ANSWER,
         .number = 1,
         .body_len = PEER_BODY_BYTES_MAX + 1,
         .answer = POLL_ANSWER_TEXT,
         .status = 200},
    };
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        uint8_t bytes[PEER_HEAD_BYTES];
        struct peer_head head;
        peer_head_write(&heads[i], bytes);
        if (peer_head_read(bytes, &head))
            fail_msg("head %zu is taken", i);
    }
    uint8_t bytes[PEER_HEAD_BYTES];
    struct peer_head head = {.type = PEER_CANCEL, .number = 1, .ask = {.sid = a_sid}};
    peer_head_write(&head, bytes);
    bytes[PEER_HEAD_BYTES - 1] = '.';
    assert_false(peer_head_read(bytes, &head));
}

static void test_proofs(void **state) {
    (void)state;
    uint8_t key[PROOF_KEY_BYTES], other[PROOF_KEY_BYTES], proofs[8][PROOF_BYTES];
    struct peer_side caller = {.run = "0123456789abcde"}, called = {.run = "fedcba987654321"};
    struct peer_side fresh = caller;
    proof_key(SPAN("0123456789abcdef"), key);
    proof_key(SPAN("0123456789abcdeF"), other);
    fresh.nonce[31] = 1;
    peer_proof(key, PEER_CALLER, SPAN("127.0.0.1:1"), &caller, &called, proofs[0]);
    peer_proof(key, PEER_CALLED, SPAN("127.0.0.1:1"), &caller, &called, proofs[1]);
    peer_proof(key, PEER_CALLER, SPAN("127.0.0.1:2"), &caller, &called, proofs[2]);
    peer_proof(key, PEER_CALLER, SPAN("127.0.0.1:1"), &called, &caller, proofs[3]);
    peer_proof(key, PEER_CALLER, SPAN("127.0.0.1:1"), &fresh, &called, proofs[4]);
    peer_proof(key, PEER_CALLER, SPAN("127.0.0.1:1"), &called, &fresh, proofs[5]);
    peer_proof(other, PEER_CALLER, SPAN("127.0.0.1:1"), &caller, &called, proofs[6]);
    peer_proof(key, PEER_CALLER, SPAN(""), &caller, &called, proofs[7]);
    for (unsigned i = 0; i < 8; i++)
        for (unsigned j = 0; j < 8; j++)
            assert_int_equal(proof_same(proofs[i], proofs[j]), i == j);
    peer_proof(key, PEER_CALLER, SPAN("127.0.0.1:1"), &caller, &called, proofs[1]);
    assert_true(proof_same(proofs[0], proofs[1]));
}

static void test_hellos(void **state) {
    (void)state;
    uint8_t bytes[PEER_HELLO_BYTES];
    struct peer_side side = {.nonce = {9}}, read;
    memcpy(side.run, "0123456789abcdef", PEER_RUN_BYTES);
    peer_hello_write(&side, bytes);
    assert_true(peer_hello_read(bytes, &read));
    assert_memory_equal(&side, &read, sizeof(side));
    bytes[PEER_MAGIC_BYTES - 2] = '2'; /* another version */
    assert_false(peer_hello_read(bytes, &read));
    side.run[3] = 'x';
    peer_hello_write(&side, bytes);
    assert_false(peer_hello_read(bytes, &read));
}

static void test_addresses(void **state) {
    (void)state;
    static const char *const good[] = {"192.0.2.7:7010", "127.0.0.1:1", "[2001:db8::7]:65535",
                                       "[::1]:7010"};
    static const char *const bad[] = {
        "",
        ":",
        "192.0.2.7",
        "192.0.2.7:",
        "192.0.2.7:0",
        "1.2.3.4:x",
        "1.2.3.4:-1",
        "1.2.3.4:65536",
        "1.2.3.4:000001",
        "1.2.3:1",
        "a.b:1",
        "localhost:1",
        "0.0.0.0:1",
        "224.0.0.1:1",
        "255.255.255.255:1",
        "[::]:1",
        "[ff02::1]:1",
        "::1:7010",
        "[::1:7010",
        "[]:1",
        "[1.2.3.4]:1",
        "[:1",
        "]:1",
        "1.2.3.4:1 ",
        "[::1%lo]:1",
        "1111111111111111111111111111111111111111111111111111.2.3.4:1"};
    struct sockaddr_storage address;
    socklen_t len;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(peer_address_read(span_text(good[i]), &address, &len));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (peer_address_read(span_text(bad[i]), &address, &len))
            fail_msg("%s is an address", bad[i]);
    assert_true(peer_address_read(SPAN("192.0.2.7:7010"), &address, &len));
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address;
    assert_int_equal(len, sizeof(*v4));
    assert_int_equal(v4->sin_port, htons(7010));
    assert_int_equal(v4->sin_addr.s_addr, htonl(0xC0000207));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heads),     cmocka_unit_test(test_bad_heads),
        cmocka_unit_test(test_proofs),    cmocka_unit_test(test_hellos),
        cmocka_unit_test(test_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
