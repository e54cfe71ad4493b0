/* Text in blocks: what is charged, what is told in which order, and that all of it comes back. */
#include "tests/support/cmocka_first.h"

#include "core/base/strbuf.h"
#include "core/chain.c"
#include "core/quota.c"

static struct server server;
static struct worker workers[2];

static int setup(void **state) {
    (void)state;
    memset(&server, 0, sizeof server);
    server.worker_count = 2;
    server.workers = workers;
    budget_init(&server.budget, 1 << 20);
    quota_init(&server.answers, &server.budget, 256 * 1024);
    quota_init(&server.reserve, NULL, 4096);
    for (unsigned i = 0; i < 2; i++) {
        memset(&workers[i], 0, sizeof workers[i]);
        workers[i].is_worker = true;
        workers[i].server = &server;
        account_init(&workers[i].account, &server.budget);
    }
    return 0;
}

static int teardown(void **state) {
    (void)state;
    assert_int_equal(quota_used(&server.answers), 0);
    assert_int_equal(quota_used(&server.reserve), 0);
    assert_int_equal(atomic_load(&server.budget.granted_bytes), 0);
    return 0;
}

/* All of it in one run; freed by the caller. */
static char *text_of(struct chain *chain, size_t *len) {
    uint64_t bytes = chain_bytes(chain);
    char *text = malloc(bytes + 1);
    struct chunk *first = chain_take(chain);
    *len = 0;
    for (const struct chunk *chunk = first; chunk != NULL; chunk = chunk->next) {
        memcpy(text + *len, chunk->text, chunk->len);
        *len += chunk->len;
    }
    assert_int_equal(*len, bytes);
    text[*len] = '\0';
    chunks_put(first);
    return text;
}

static void numbers_write(struct chain *chain, unsigned from, unsigned to) {
    for (unsigned i = from; i < to; i++) {
        assert_true(chain_room(chain, 24));
        json_comma(&chain->out);
        builder_u64(&chain->out, i);
    }
}

/* Over many blocks nothing is lost, and a comma is never forgotten between two of them. */
static void test_text_goes_on(void **state) {
    (void)state;
    struct chain chain = chain_empty(&workers[0].endpoint, false),
                 more = chain_empty(&workers[1].endpoint, false);
    assert_true(chain_room(&chain, 1));
    builder_byte(&chain.out, '[');
    numbers_write(&chain, 0, 10000);
    assert_true(chain_room(&more, 24));
    builder_text(&more.out, "10000");
    numbers_write(&more, 10001, 20000);
    assert_true(chain_room(&chain, 1));
    json_comma(&chain.out);
    chain_join(&chain, &more);
    assert_int_equal(chain_bytes(&more), 0);
    numbers_write(&chain, 20000, 30000);
    size_t len;
    char *text = text_of(&chain, &len), *at = text + 1;
    for (unsigned i = 0; i < 30000; i++) {
        assert_int_equal(strtoul(at, &at, 10), i);
        assert_int_equal(*at, i == 29999 ? '\0' : ',');
        at++;
    }
    free(text);
}

static void test_empty_ones(void **state) {
    (void)state;
    struct chain chain = chain_empty(&workers[0].endpoint, false), none = {.first = NULL};
    chain_join(&chain, &none);
    assert_int_equal(chain_bytes(&chain), 0);
    assert_null(chain_take(&chain));
    chain_free(&none);
}

static void test_the_share(void **state) {
    (void)state;
    struct chain chain = chain_empty(&workers[0].endpoint, false);
    static char text[1000];
    unsigned count = 0;
    while (chain_room(&chain, sizeof text)) {
        builder_bytes(&chain.out, text, sizeof text);
        count++;
        assert_int_equal(atomic_load(&server.budget.granted_bytes), quota_used(&server.answers));
    }
    assert_in_range(count, 128, 262);
    assert_true(chain.failed);
    assert_false(chain_room(&chain, 1));
    /* Messages have room all the same. */
    assert_true(account_take(&workers[1].account, 700 * 1024));
    account_give(&workers[1].account, 700 * 1024);
    account_trim(&workers[1].account);
    chain_free(&chain);
}

/* When the node is full there is a little for what must go on. */
static void test_the_reserve(void **state) {
    (void)state;
    account_force(&workers[1].account, 1 << 20);
    assert_null(chunk_get(&workers[0].endpoint, 100, false));
    struct chunk *one = chunk_get(&workers[0].endpoint, 100, true),
                 *two = chunk_get(&workers[0].endpoint, 3000, true);
    assert_non_null(one);
    assert_non_null(two);
    assert_null(chunk_get(&workers[0].endpoint, 3000, true));
    assert_int_equal(quota_used(&server.answers), 0);
    chunk_put(one);
    chunk_put(two);
    account_give(&workers[1].account, 1 << 20);
    account_trim(&workers[1].account);
}

/* A block goes behind what is there, and the text goes on behind it; one that must be had is had,
 * whatever was taken before. */
static void test_blocks_are_added(void **state) {
    (void)state;
    struct chain chain = chain_empty(&workers[0].endpoint, false);
    account_force(&workers[1].account, 1 << 20);
    assert_null(chunk_get(&workers[0].endpoint, 8, false));
    uint64_t granted = atomic_load(&server.budget.granted_bytes);
    struct chunk *one = chunk_force(&workers[0].endpoint, 8),
                 *two = chunk_force(&workers[0].endpoint, 8);
    assert_int_equal(atomic_load(&server.budget.granted_bytes) - granted,
                     quota_used(&server.answers));
    memcpy(one->text, "[1", one->len = 2);
    memcpy(two->text, ",3", two->len = 2);
    chain_add(&chain, one);
    account_give(&workers[1].account, 1 << 20);
    account_trim(&workers[1].account);
    builder_text(&chain.out, ",2");
    chain_add(&chain, two);
    assert_int_equal(chain_bytes(&chain), 6);
    assert_true(chain_room(&chain, 100));
    builder_text(&chain.out, ",4]");
    size_t len;
    char *text = text_of(&chain, &len);
    assert_string_equal(text, "[1,2,3,4]");
    free(text);
}

static void test_a_failure_is_inherited(void **state) {
    (void)state;
    struct chain chain = chain_empty(&workers[0].endpoint, false),
                 more = chain_empty(&workers[1].endpoint, false);
    assert_true(chain_room(&chain, 10));
    assert_false(chain_room(&more, 1 << 20));
    chain_join(&chain, &more);
    assert_true(chain.failed);
    chain_free(&chain);
    assert_null(chunk_get(&workers[0].endpoint, (size_t)UINT32_MAX, true));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_text_goes_on), TEST(test_empty_ones),       TEST(test_the_share),
        TEST(test_the_reserve),  TEST(test_blocks_are_added), TEST(test_a_failure_is_inherited),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
