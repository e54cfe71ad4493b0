/* An alert as JSON and as a mail: what it says, and that whatever it is of, it fits. */
#include "ha/alert/alert_text.h"
#include "proto/text/json.h"
#include "tests/support/cmocka_first.h"

#include <string.h>

static char room[ALERT_MAIL_MAX + 1];
static const struct alert_teller teller = {"till-a", "0123456789abcdef"};
static const char *const to[ALERT_MAILS_MAX] = {"ann@example.org", "ben@example.org"};

static const char *json(const struct alert_notice *notice) {
    struct builder out = builder_over(room, ALERT_JSON_MAX);
    struct json_value value;
    struct json_error error;
    alert_json_write(&out, &teller, notice);
    assert_false(out.full);
    room[out.len] = '\0';
    assert_true(json_scan(builder_span(&out), &value, &error));
    assert_int_equal(value.kind, JSON_OBJECT);
    return room;
}

static const char *mail(const struct alert_notice *notice) {
    struct builder out = builder_over(room, ALERT_MAIL_MAX);
    struct alert_letter letter = {.from = "ringpost@shop.example",
                                  .to = to,
                                  .to_count = 2,
                                  .wall_ms = 1780000000000,
                                  .number = 3};
    alert_mail_write(&out, &teller, notice, &letter);
    assert_false(out.full);
    room[out.len] = '\0';
    for (size_t i = 0; i < out.len; i++) /* each line ends as it must, and is ASCII */
        assert_true(room[i] == '\n' ? room[i - 1] == '\r'
                                    : room[i] == '\r' || (room[i] >= 0x20 && room[i] < 0x7F));
    return room;
}

static void has(const char *text, const char *part) {
    if (strstr(text, part) == NULL)
        fail_msg("no %s in %s", part, text);
}

static struct alert_notice redis_lost = {.state = ALERT_LOST,
                                         .what = "redis",
                                         .since_wall_ms = 1780000000000,
                                         .at_wall_ms = 1780000012345,
                                         .lasted_ms = 12345,
                                         .times = 1};

static void test_json(void **state) {
    (void)state;
    const char *text = json(&redis_lost);
    has(text, "{\"text\":\"ringpost till-a: redis has been lost for 12 s (since "
              "2026-05-28T20:26:40.000Z). Meaning: clients");
    has(text, ",\"node\":\"till-a\",\"run\":\"0123456789abcdef\",\"what\":\"redis\",\"state\":"
              "\"lost\",\"since\":\"2026-05-28T20:26:40.000Z\",\"at\":\"2026-05-28T20:26:52.345Z\","
              "\"seconds\":12,\"times\":1,\"meaning\":\"clients");
    has(text, "\"remedy\":\"see that Redis runs");
    assert_null(strstr(text, "suppressed"));
    struct alert_notice back = redis_lost;
    back.state = ALERT_BACK;
    back.times = 4;
    has(json(&back), "redis is back after 12 s (lost since 2026-05-28T20:26:40.000Z, 4 times). ");
}

static void test_other_subjects(void **state) {
    (void)state;
    struct alert_notice notice = redis_lost;
    notice.what = "memory";
    has(json(&notice), "till-a: the memory ceiling has been reached for 12 s");
    notice.what = "store";
    has(json(&notice), "till-a: the store has been lost for 12 s");
    notice.what = "amqp";
    has(json(&notice), "till-a: a queue of RabbitMQ has been lost for 12 s");
    notice.what = "fridge"; /* one that this file does not know */
    has(json(&notice), "till-a: a part has been lost (fridge) for 12 s");
    struct alert_notice test = {.state = ALERT_TEST, .what = "test"};
    has(json(&test), "till-a: this is a test. ");
}

static void test_digest(void **state) {
    (void)state;
    struct alert_notice digest = {.state = ALERT_DIGEST,
                                  .what = "alerts",
                                  .since_wall_ms = 1780000000000,
                                  .suppressed = 108,
                                  .lost_count = 2,
                                  .lost = {"redis", "memory"}};
    const char *text = json(&digest);
    has(text,
        "108 alerts were not sent (since 2026-05-28T20:26:40.000Z); lost now: redis, memory. ");
    has(text, "\"suppressed\":108,\"lost\":[\"redis\",\"memory\"]}");
    has(mail(&digest), "Subject: [ringpost] till-a: 108 alerts were not sent\r\n");
    digest.lost_count = 0;
    has(json(&digest), "lost now: nothing. ");
}

static void test_mail(void **state) {
    (void)state;
    const char *text = mail(&redis_lost);
    has(text, "Date: Thu, 28 May 2026 20:26:40 +0000\r\nFrom: ringpost <ringpost@shop.example>\r\n"
              "To: ann@example.org,\r\n ben@example.org\r\n"
              "Subject: [ringpost] till-a: redis lost\r\n"
              "Message-ID: <0123456789abcdef.3.1780000000000@shop.example>\r\n");
    has(text, "\r\n\r\nringpost till-a: redis has been lost for 12 s (since ");
    has(text, "\r\nremedy:   see that Redis runs");
    has(text, "\r\nstate:    lost\r\n");
}

static void test_the_longest_fits(void **state) {
    (void)state;
    static char node[65], address[255];
    static const char *many[ALERT_MAILS_MAX];
    memset(node, 'n', 64);
    memset(address, 'a', 254);
    address[100] = '@';
    for (unsigned i = 0; i < ALERT_MAILS_MAX; i++)
        many[i] = address;
    struct alert_teller long_teller = {node, "0123456789abcdef"};
    struct alert_notice notice = {.what = "redis",
                                  .since_wall_ms = UINT64_C(253402300799999),
                                  .at_wall_ms = UINT64_C(253402300799999),
                                  .lasted_ms = UINT64_MAX,
                                  .times = UINT32_MAX,
                                  .suppressed = UINT32_MAX,
                                  .lost_count = ALERT_SUBJECTS};
    for (unsigned i = 0; i < ALERT_SUBJECTS; i++)
        notice.lost[i] = "a-word-of-a-port";
    for (unsigned what = ALERT_LOST; what <= ALERT_TEST; what++) {
        struct builder out = builder_over(room, ALERT_JSON_MAX);
        struct alert_letter letter = {address, many, ALERT_MAILS_MAX, notice.at_wall_ms,
                                      UINT64_MAX};
        notice.state = (enum alert_state)what;
        alert_json_write(&out, &long_teller, &notice);
        assert_false(out.full);
        assert_int_equal(room[out.len - 1], '}');
        room[out.len] = '\0';
        assert_memory_equal(room, "{\"text\":\"ringpost n", 19);
        assert_non_null(strstr(room, ".\",\"node\":")); /* its text is whole */
        out = builder_over(room, ALERT_MAIL_MAX);
        alert_mail_write(&out, &long_teller, &notice, &letter);
        assert_false(out.full);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_other_subjects),
        cmocka_unit_test(test_digest),
        cmocka_unit_test(test_mail),
        cmocka_unit_test(test_the_longest_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
