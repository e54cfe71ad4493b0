/* Settings that nobody gave; and the list of namespaces. */
#include "main/settings/settings.c"
#include "main/settings/settings_apply.c"
#include "main/settings/settings_finish.c"
#include "main/settings/settings_read.c"
#include "main/settings/settings_show.c"
#include "main/settings/settings_table.c"
#include "main/settings/settings_value.c"
#include "tests/support/settings_load.h"

static void test_defaults(void **state) {
    static const struct {
        enum setting_id id;
        const char *value;
    } cases[] = {
        {SET_CONFIG, "-"},
        {SET_TCP, "127.0.0.1:7000"},
        {SET_WEB, "127.0.0.1:8080"},
        {SET_API, "127.0.0.1:8081"},
        {SET_PORTS_FILE, "-"},
        {SET_PROXY_PROTOCOL, "off"},
        {SET_FORWARDED, "off"},
        {SET_CORS, "-"},
        {SET_WEB_HOST, "-"},
        {SET_DEMO, "on"},
        {SET_SOCKETIO_CLIENT, "-"},
        {SET_WORKERS, "4"},
        {SET_CPUS, "0-2,5"},
        {SET_SANDBOX, "on"},
        {SET_STEER, "ip"},
        {SET_API_KEY, "-"},
        {SET_API_KEY_FILE, "-"},
        {SET_CLIENT_SEND, "off"},
        {SET_NAMESPACES, "/"},
        {SET_HEARTBEAT, "25"},
        {SET_HEARTBEAT_TIMEOUT, "20"},
        {SET_HELLO_TIMEOUT, "10"},
        {SET_CONNECT_TIMEOUT, "45"},
        {SET_DRAIN_TIMEOUT, "10"},
        {SET_MAX_MESSAGE, "65536"},
        {SET_MAX_BODY, "8388608"},
        {SET_OUTBOX_BYTES, "1048576"},
        {SET_SLOW, "close"},
        {SET_SEND_BUFFER, "131072"},
        {SET_MEMORY, "6442450875"},
        {SET_MAX_CONNECTIONS, "19844"},
        {SET_MAX_PER_ADDRESS, "off"},
        {SET_RATE_LIMIT, "off"},
        {SET_DEDUP_WINDOW, "120"},
        {SET_DEDUP_MAX, "1000000"},
        {SET_ACK_SILENCE, "10"},
        {SET_ACK_WINDOW, "256"},
        {SET_ACK_BACKLOG, "10000"},
        {SET_FATE_WINDOW, "3600"},
        {SET_FATE_MAX, "1000000"},
        {SET_STORE, "memory"},
        {SET_DATA, "-"},
        {SET_FSYNC, "always"},
        {SET_REDIS, "-"},
        {SET_REDIS_FILE, "-"},
        {SET_REDIS_PREFIX, "ringpost:"},
        {SET_PEER, "-"},
        {SET_PEER_SECRET_FILE, "-"},
        {SET_SOCKETIO_REDIS_KEY, "-"},
        {SET_SOCKETIO_REDIS_ADAPTER, "classic"},
        {SET_AMQP, "-"},
        {SET_AMQP_FILE, "-"},
        {SET_AMQP_QUEUE, "-"},
        {SET_AMQP_DECLARE, "off"},
        {SET_AMQP_QUEUE_TTL, "600"},
        {SET_AMQP_PREFETCH, "256"},
        {SET_AMQP_SETTLE, "taken"},
        {SET_AMQP_HOLD, "60"},
        {SET_AMQP_REFUSED, "-"},
        {SET_AMQP_RESULTS, "-"},
        {SET_AMQP_REPLIES, "direct"},
        {SET_AMQP_CA, "-"},
        {SET_AMQP_CERT, "-"},
        {SET_AMQP_KEY, "-"},
        {SET_ALERT_URL, "-"},
        {SET_ALERT_MAIL, "-"},
        {SET_ALERT_SMTP, "-"},
        {SET_ALERT_SMTP_FILE, "-"},
        {SET_ALERT_FROM, "-"},
        {SET_ALERT_AFTER, "10"},
        {SET_LOG_LEVEL, "info"},
        {SET_LOG_FORMAT, "logfmt"},
        {SET_UPGRADE_TIMEOUT, "10"},
        {SET_MAX_PAYLOAD, "1000000"},
        {SET_DEFLATE, "off"},
        {SET_CONFORMANCE, "off"},
        {SET_TEST_KERNEL_6_1, "off"},
        {SET_TEST_NO_CBPF, "off"},
    };
    struct load load = {0};
    (void)state;
    assert_true(load_it(&load));
    assert_int_equal(settings.remark_count, 0);
    assert_int_equal(settings_exit_status(&settings), 0);
    for (size_t n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {
        expect_shown(cases[n].id, cases[n].value);
        expect_from(cases[n].id, "default");
    }
    assert_int_equal(sizeof(cases) / sizeof(cases[0]), SETTINGS - 1); /* all but node */
    assert_int_equal(strlen(settings.config.node), 11);
    assert_memory_equal(settings.config.node, "node-", 5);
    assert_int_equal(settings.config.listener_count, 3);
    settings_fini(&settings);
}

/* `/` is there and comes first, whoever lists it. */
static void test_namespaces(void **state) {
    struct load load = {.flags = {"--namespaces=/b,/a,/b", "--namespaces", "/,/c/d"},
                        .environment = {"RINGPOST_NAMESPACES=/other"}};
    (void)state;
    assert_true(load_it(&load));
    expect_shown(SET_NAMESPACES, "/,/b,/a,/c/d");
    settings_fini(&settings);
    static const char *const bad[] = {"admin", "/a b", "/a?b=1", "/\xc3\xa4"};
    for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        struct load wrong = {.flags = {"--namespaces", bad[i]}};
        assert_false(load_it(&wrong));
        assert_non_null(strstr(settings.problems[0].text, "is no namespace"));
        assert_int_equal(settings_exit_status(&settings), 2);
        settings_fini(&settings);
    }
    struct load many = {
        .flags = {"--namespaces=/1,/2,/3,/4,/5,/6,/7,/8,/9,/10,/11,/12,/13,/14,/15,/16"}};
    assert_false(load_it(&many));
    assert_non_null(strstr(settings.problems[0].text, "is one namespace too many"));
    settings_fini(&settings);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_namespaces),
    };
    return cmocka_run_group_tests(tests, file_make, file_remove);
}
