/* Where Redis is, where that is several servers, a Cluster, or said by Sentinels. */
#include "main/settings/settings.c"
#include "main/settings/settings_apply.c"
#include "main/settings/settings_finish.c"
#include "main/settings/settings_read.c"
#include "main/settings/settings_show.c"
#include "main/settings/settings_table.c"
#include "main/settings/settings_value.c"
#include "tests/support/settings_load.h"

/* Several servers, from wherever they are named; a comma is the URL's own unless another one
 * follows. */
static void test_several_servers(void **state) {
    (void)state;
    struct load load = {.flags = {"--redis", "redis://a", "--redis=redis://:x,y@b:1/2,redis://c"}};
    assert_true(load_it(&load));
    assert_int_equal(settings.latest.redis_count, 3);
    assert_string_equal(settings.latest.redis[0], "redis://a");
    assert_string_equal(settings.latest.redis[1], "redis://:x,y@b:1/2");
    assert_string_equal(settings.latest.redis[2], "redis://c");
    settings_fini(&settings);
    /* Flags win over the environment as a whole. */
    struct load both = {.environment = {"RINGPOST_REDIS=redis://a, REDIS://b"},
                        .flags = {"--redis", "redis://c"}};
    assert_true(load_it(&both));
    assert_int_equal(settings.latest.redis_count, 1);
    settings_fini(&settings);
    both.flags[0] = NULL;
    assert_true(load_it(&both));
    assert_int_equal(settings.latest.redis_count, 2);
    assert_string_equal(settings.latest.redis[1], "REDIS://b");
    settings_fini(&settings);
    static const struct wrong_setting cases[] = {
        {"redis://a,redis://b:6379,redis://B", "names a server that another one names already"},
        {"redis://a,redis://b,", "host with a byte"},
        {"redis://a,rediss://b", "asks for TLS"},
        {"redis://1,redis://2,redis://3,redis://4,redis://5,redis://6,redis://7,redis://8,"
         "redis://9,redis://10,redis://11,redis://12,redis://13,redis://14,redis://15,"
         "redis://16,redis://17",
         "is one server too many; allowed: 16"},
    };
    expect_wrong("--redis", cases, sizeof(cases) / sizeof(cases[0]));
}

static void test_a_cluster(void **state) {
    (void)state;
    char text[200];
    struct load load = {.flags = {"--redis", "redis+cluster://u:s3cret@a:1,[::1]:2,b"}};
    assert_true(load_it(&load));
    assert_int_equal(settings.latest.redis_count, 1);
    config_format(&settings.latest, NULL, SET_REDIS, text, sizeof(text));
    assert_string_equal(text, "redis+cluster://u:***@a:1,[::1]:2,b:6379");
    settings_fini(&settings);
    static const struct wrong_setting cases[] = {
        {"redis+cluster://a,redis://b", "only redis:// may be repeated"},
        {"redis://b,redis+cluster://a", "only redis:// may be repeated"},
        {"redis+cluster://a,redis+cluster://b", "only redis:// may be repeated"},
        {"redis+cluster://a,b:0", "bad port"},
        {"redis+cluster://", "has no host"},
        {"redis+cluster://a,,b", "has no host"},
        {"redis+cluster://a/0", "one database"},
        {"redis+cluster://1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17", "more than 16 nodes"},
    };
    expect_wrong("--redis", cases, sizeof(cases) / sizeof(cases[0]));
}

static void test_sentinels(void **state) {
    (void)state;
    char text[200];
    struct load load = {.flags = {"--redis", "redis+sentinel://u:s3,cret@a:1,[::1]:2,b/main"}};
    assert_true(load_it(&load));
    assert_int_equal(settings.latest.redis_count, 1);
    config_format(&settings.latest, NULL, SET_REDIS, text, sizeof(text));
    assert_string_equal(text, "redis+sentinel://u:***@a:1,[::1]:2,b:26379/main/0");
    settings_fini(&settings);
    static const struct wrong_setting cases[] = {
        {"redis+sentinel://a,b/main,redis://c", "only redis:// may be repeated"},
        {"redis://c,redis+sentinel://a,b/main", "only redis:// may be repeated"},
        {"redis+sentinel://a/m,redis+sentinel://a/n", "only redis:// may be repeated"},
        {"redis+sentinel://a,b", "does not name the server"},
    };
    expect_wrong("--redis", cases, sizeof(cases) / sizeof(cases[0]));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_several_servers),
        cmocka_unit_test(test_a_cluster),
        cmocka_unit_test(test_sentinels),
    };
    return cmocka_run_group_tests(tests, file_make, file_remove);
}
