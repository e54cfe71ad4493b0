/* test_audit_node.c - the audit of a node that lost a message: what is in no list is not counted as
 * waiting, so its ledger does not balance. */
#include "main/cli/cli_audit.c"

#include "tests/support/fake_http.h"

#include "core/piece.h"

static struct peer *api, *till;
static struct audit audit;

static int setup(void **state) {
    (void)state;
    http_node_open();
    api = api_connect();
    till = client_connect(0, "{\"type\":\"hello\",\"id\":\"till\"}\n");
    peer_stall(till, true);
    ask(api, JSON_POST("/v1/messages", "[{\"to\":\"till\"},{\"to\":\"till\",\"volatile\":true},"
                                       "{\"to\":\"away\",\"ack\":true},{\"to\":\"till\"}]"));
    return 0;
}

static int teardown(void **state) {
    (void)state;
    peer_stall(till, false);
    http_node_close();
    return 0;
}

/* What `ringpost audit` says of the node as it is; to be freed. Its verdict is in audit.wrong. */
static char *audit_node(void) {
    char *said = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&said, &len);
    const char *answer = ask(api, GET("/v1/stats"));
    assert_int_equal(status_of(answer), 200);
    assert_null(audit_read(&audit, span_text(body_of(answer)), out));
    fclose(out);
    return said;
}

static void assert_balanced(void) {
    char *said = audit_node();
    assert_string_equal(said, "");
    assert_int_equal(audit.wrong, 0);
    free(said);
}

static void assert_wrong(const char *wanted) {
    char *said = audit_node();
    if (strstr(said, wanted) == NULL)
        print_error("%s", said);
    assert_non_null(strstr(said, wanted));
    assert_int_equal(audit.wrong, 1);
    free(said);
}

static void test_a_lost_copy(void **state) {
    (void)state;
    assert_balanced();
    struct worker *worker = &fake_server.workers[0];
    struct session *session = worker->sessions.at[0];
    struct outbox *outbox = session->type->outbox(session);
    struct piece *lost = outbox->first->next;
    outbox->first->next = lost->next;
    for (unsigned n = 0; n < 2; n++)
        assert_wrong("worker 0, volatile: made 1, but sent 0 + waiting 0 + dropped 0 = 0\n");
    /* So that the node can end. */
    lost->next = outbox->first->next;
    outbox->first->next = lost;
    stats_add(&worker->stats.copies_waiting[CLASS_VOLATILE], 1);
    assert_balanced();
}

static void test_a_lost_message(void **state) {
    (void)state;
    assert_balanced();
    uint64_t hash = name_hash(NAME_ID, 0, SPAN("away"));
    struct worker *worker = &fake_server.workers[keeper_of(&fake_server, hash)];
    struct kept_id *id = (struct kept_id *)keeper_find(worker, hash);
    struct list *order = id->all.next;
    list_remove(order);
    for (unsigned n = 0; n < 2; n++)
        assert_wrong("ack: accepted 1, but acked 0 + pending 0 + expired 0 + dropped 0 = 0\n");
    list_add_tail(&id->all, order);
    stats_add(&worker->stats.acks_pending, 1);
    assert_balanced();
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {TEST(test_a_lost_copy), TEST(test_a_lost_message)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
