/* Whose the ids are that a client sends. */
#include "tests/support/cmocka_first.h"

#include "ingest/gate/client_send.c"

#include <stdio.h>
#include <stdlib.h>

static struct server server;
static struct worker worker;
static struct connection connection;

static void look(const struct worker *its_worker, const struct session *session,
                 struct session_look *look) {
    (void)session;
    connection_text(its_worker, &connection, look->text);
}

static const struct session_type type = {.look = look};

static void begin(const char *run) {
    snprintf(server.run, sizeof(server.run), "%s", run);
    worker.server = &server;
    worker.index = 3;
    connection = (struct connection){.slot = 7, .generation = 9};
    client_of(&connection)->session.type = &type;
}

static void expect(const char *scope) {
    char text[DEDUP_SCOPE_BYTES_MAX + 1];
    const struct origin origin = {.connection = &connection};
    struct span found = scope_of(&worker, &origin, text);
    assert_true(span_equal(found, span_text(scope)));
}

/* A store keeps the scope: the sessions of two runs differ, also in the same place. */
static void test_a_session_without_an_id(void **state) {
    (void)state;
    begin("0123456789abcdef");
    expect("s0123456789abcdef-3-7-9");
    connection.generation++;
    expect("s0123456789abcdef-3-7-a");
    begin("fedcba9876543210");
    expect("sfedcba9876543210-3-7-9");
}

static void test_the_longest_fits(void **state) {
    (void)state;
    begin("0123456789abcdef");
    worker.index = UINT16_MAX;
    connection.slot = connection.generation = UINT32_MAX;
    expect("s0123456789abcdef-ffff-ffffffff-ffffffff");
}

/* A client id is the same one in every run. */
static void test_a_client_id(void **state) {
    (void)state;
    begin("0123456789abcdef");
    struct name *name = calloc(1, sizeof(*name) + 7);
    assert_non_null(name);
    memcpy(name->text, "till-7", 6);
    name->len = 6;
    client_of(&connection)->session.id = name;
    expect("ctill-7");
    free(name);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_session_without_an_id),
        cmocka_unit_test(test_the_longest_fits),
        cmocka_unit_test(test_a_client_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
