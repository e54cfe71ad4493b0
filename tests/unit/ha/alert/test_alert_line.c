/* The ways out: what is tried again and when, what is given up, what is dropped where too much
 * waits, and that one way keeps nothing from the other. The network is made up. */
#include "ha/alert/alert_line.c"
#include "tests/support/cmocka_first.h"

static struct alert_line line;
static struct config config;
static uint64_t now_ns;

/* What the network does: each try ends at once with this, or hangs. */
static struct alert_result next[ALERT_WAYS];
static bool hangs[ALERT_WAYS];
static unsigned begun[ALERT_WAYS];
static char content[ALERT_WAYS][ALERT_MAIL_MAX + 1];

/* What was told. */
static unsigned ended[ALERT_WAYS][ALERT_DROPPED + 1];
static uint32_t last_times[ALERT_WAYS];
static const char *last_problem;

bool alert_send_init(struct alert_sender *sender, char *problem, size_t problem_cap) {
    (void)sender, (void)problem, (void)problem_cap;
    return true;
}
bool alert_send_begin(struct alert_sender *sender, unsigned place,
                      const struct alert_parcel *parcel) {
    (void)sender;
    memcpy(content[place], parcel->content.at, parcel->content.len);
    content[place][parcel->content.len] = '\0';
    assert_null(parcel->addresses);
    begun[place]++;
    return true;
}
void alert_send_work(struct alert_sender *sender) {
    (void)sender;
}
bool alert_send_ended(struct alert_sender *sender, unsigned place, struct alert_result *result) {
    (void)sender;
    *result = next[place];
    return !hangs[place];
}
void alert_send_fini(struct alert_sender *sender) {
    (void)sender;
}

static void on_end(void *user, enum alert_way_kind kind, const struct alert_notice *notice,
                   enum alert_end end, const struct alert_result *result) {
    static char problem[ALERT_PROBLEM_MAX];
    (void)user;
    ended[kind][end]++;
    last_times[kind] = notice->times;
    memcpy(problem, result->problem, sizeof(problem));
    last_problem = problem;
}

static int begin(void **state) {
    char problem[128];
    (void)state;
    memset(&config, 0, sizeof(config));
    memset(ended, 0, sizeof(ended));
    memset(begun, 0, sizeof(begun));
    memset(next, 0, sizeof(next));
    memset(hangs, 0, sizeof(hangs));
    config.alert_url = "http://127.0.0.1:1/x";
    config.alert_mail[0] = "ann@example.org";
    config.alert_mail_count = 1;
    config.alert_smtp = "smtp://127.0.0.1:1";
    memcpy(config.node, "a", 2);
    alert_line_init(&line, &config, "run");
    line.on_end = on_end;
    now_ns = CLOCK_BASE_NS;
    assert_true(alert_line_open(&line, problem, sizeof(problem)));
    return 0;
}

static int end(void **state) {
    (void)state;
    alert_line_fini(&line);
    return 0;
}

/* Notices are told apart by a number. */
static void put(uint32_t number) {
    struct alert_notice notice = {.what = "redis", .state = ALERT_LOST, .times = number};
    alert_line_put(&line, &notice);
}

static void pass(uint64_t ms) {
    for (uint64_t until_ns = now_ns + ms * NS_PER_MS; now_ns < until_ns; now_ns += 100 * NS_PER_MS)
        alert_line_work(&line, now_ns);
}

static void test_both_ways(void **state) {
    (void)state;
    next[0].sent = next[1].sent = true;
    put(2);
    put(3);
    pass(1000);
    for (unsigned kind = 0; kind < ALERT_WAYS; kind++) {
        assert_int_equal(ended[kind][ALERT_SENT], 2);
        assert_int_equal(last_times[kind], 3);
    }
    assert_memory_equal(content[ALERT_WAY_URL], "{\"text\":", 8);
    assert_non_null(strstr(content[ALERT_WAY_MAIL], "To: ann@example.org\r\n"));
    assert_int_equal(alert_line_waiting(&line), 0);
    assert_int_equal(alert_line_due_ns(&line, now_ns), CLOCK_NEVER);
}

static void test_what_fails_is_tried_again_and_given_up(void **state) {
    (void)state;
    next[ALERT_WAY_MAIL].sent = true;
    put(1);
    pass(1000);
    assert_int_equal(begun[ALERT_WAY_URL], 1);
    assert_int_equal(alert_line_due_ns(&line, now_ns),
                     CLOCK_BASE_NS + 2 * NS_PER_S + 100 * NS_PER_MS);
    pass(2000);
    assert_int_equal(begun[ALERT_WAY_URL], 2);
    put(2); /* behind it; the other way is not held */
    pass(1000);
    assert_int_equal(ended[ALERT_WAY_MAIL][ALERT_SENT], 2);
    assert_int_equal(begun[ALERT_WAY_URL], 2);
    pass(600 * 1000);
    assert_int_equal(ended[ALERT_WAY_URL][ALERT_RETRIED], ALERT_TRIES - 1 + 4);
    assert_int_equal(ended[ALERT_WAY_URL][ALERT_GIVEN_UP], 1);
    next[ALERT_WAY_URL].sent = true;
    pass(600 * 1000);
    assert_int_equal(ended[ALERT_WAY_URL][ALERT_SENT], 1);
    assert_int_equal(last_times[ALERT_WAY_URL], 2);
}

static void test_what_cannot_work_is_given_up_at_once(void **state) {
    (void)state;
    next[ALERT_WAY_URL].is_final = true;
    hangs[ALERT_WAY_MAIL] = true;
    put(1);
    put(2);
    pass(1000);
    assert_int_equal(ended[ALERT_WAY_URL][ALERT_GIVEN_UP], 2);
    assert_int_equal(begun[ALERT_WAY_MAIL], 1);
    assert_true(alert_line_is_busy(&line));
}

/* The first is under way and stays; the oldest behind it gives way. */
static void test_the_oldest_gives_way(void **state) {
    (void)state;
    hangs[ALERT_WAY_MAIL] = true;
    for (uint32_t i = 1; i <= ALERT_QUEUE; i++) {
        put(i);
        pass(100);
    }
    assert_int_equal(ended[ALERT_WAY_MAIL][ALERT_DROPPED], 0);
    put(100);
    put(101);
    assert_int_equal(ended[ALERT_WAY_MAIL][ALERT_DROPPED], 2);
    assert_int_equal(last_times[ALERT_WAY_MAIL], 3);
    assert_string_equal(last_problem, "too many alerts wait");
    /* Here none is under way: it waits to be tried again. */
    assert_int_equal(ended[ALERT_WAY_URL][ALERT_DROPPED], 2);
    assert_int_equal(last_times[ALERT_WAY_URL], 2);
    hangs[ALERT_WAY_MAIL] = false;
    next[ALERT_WAY_MAIL].sent = true;
    pass(10000);
    assert_int_equal(ended[ALERT_WAY_MAIL][ALERT_SENT], ALERT_QUEUE);
    assert_int_equal(last_times[ALERT_WAY_MAIL], 101);
}

static void test_the_end_drops_what_waits(void **state) {
    (void)state;
    hangs[ALERT_WAY_MAIL] = true;
    put(1);
    put(2);
    pass(1000);
    alert_line_fini(&line);
    assert_int_equal(ended[ALERT_WAY_MAIL][ALERT_DROPPED], 2);
    assert_int_equal(ended[ALERT_WAY_URL][ALERT_DROPPED], 2);
    assert_string_equal(last_problem, "the node ends");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_both_ways),
        TEST(test_what_fails_is_tried_again_and_given_up),
        TEST(test_what_cannot_work_is_given_up_at_once),
        TEST(test_the_oldest_gives_way),
        TEST(test_the_end_drops_what_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
