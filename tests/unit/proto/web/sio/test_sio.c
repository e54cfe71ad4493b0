/* Socket.IO sessions over a node of two workers, and an Engine.IO that the test owns: who comes in,
 * what they may emit, what they get, and what ends them. */
#include "tests/support/fake_eio.h"

#include "core/namespaces.h"

static struct peer *api;

static int setup(void **state) {
    (void)state;
    static const char *const names[] = {"/", "/admin"};
    namespaces_set(names, 2);
    fake_config.client_send = true;
    fake_config.connect_timeout_ns = 45 * NS_PER_S;
    fake_config.ack_silence_ns = 10 * NS_PER_S;
    http_node_open();
    api = api_connect();
    return 0;
}

static int teardown(void **state) {
    (void)state;
    for (unsigned i = 0; i < EIO_ENGINES; i++)
        eio_end(&eio_engines[i]);
    http_node_close();
    namespaces_set(NULL, 0);
    return 0;
}

/* One of protocol 5 that has come into `/`, with such an `auth`. */
static struct engine *come(const char *auth) {
    char text[512];
    struct engine *engine = eio_open(4, "");
    snprintf(text, sizeof text, "0%s", auth);
    eio_say(engine, text);
    const char *welcome = eio_written(engine);
    assert_memory_equal(welcome, "0{\"sid\":\"", 9);
    assert_int_equal(strlen(welcome), 9 + 20 + 2);
    return engine;
}

static void push(const char *path, const char *json) {
    const char *answer = ask(api, JSON_POST(path, json));
    if (status_of(answer) != 202)
        fail_msg("%s", answer);
}

/* --- coming ----------------------------------------------------------------------------------- */

static void comes_by_protocol_5(void **state) {
    (void)state;
    struct engine *engine = eio_open(4, "EIO=4&transport=polling");
    eio_expect(engine, "");
    assert_true(engine->deadline_ns != 0);
    eio_say(engine, "0");
    char sid[64];
    snprintf(sid, sizeof sid, "%.63s", eio_written(engine));
    assert_memory_equal(sid, "0{\"sid\":\"", 9);
    assert_true(engine->deadline_ns == 0);
    eio_say(engine, "0/admin,{}");
    const char *second = eio_written(engine);
    assert_memory_equal(second, "0/admin,{\"sid\":\"", 16);
    assert_memory_not_equal(second + 16, sid + 9, 20);
    eio_say(engine, "0/random");
    eio_expect(engine, "4/random,{\"message\":\"Invalid namespace\"}");
    eio_say(engine, "1/admin");
    assert_true(engine->used && engine->deadline_ns == 0);
    eio_say(engine, "1");
    assert_true(engine->used && engine->deadline_ns != 0);
    eio_expect(engine, "");
    sio_app.on_deadline(eio_worker(), engine);
    assert_false(engine->used);
    assert_int_equal(engine->reason, CLOSE_HELLO_TIMEOUT);
}

static void comes_by_protocol_4(void **state) {
    (void)state;
    struct engine *engine = eio_open(3, "id=old&groups=a,b");
    eio_expect(engine, "0");
    const char *presence = ask(api, GET("/v1/clients/old"));
    assert_non_null(strstr(presence, "{\"session\":\"engine-sid-000000000\","));
    assert_non_null(strstr(presence, "\"transport\":\"socketio-polling\",\"namespace\":\"/\""));
    assert_non_null(strstr(presence, "\"groups\":[\"a\",\"b\"]"));
    eio_say(engine, "0/admin?groups=c,");
    eio_expect(engine, "0/admin,");
    presence = ask(api, GET("/v1/clients/old"));
    assert_non_null(strstr(presence, "{\"session\":\"/admin#engine-sid-000000000\","));
    assert_non_null(strstr(presence, "\"namespace\":\"/admin\""));
    assert_non_null(strstr(presence, "\"groups\":[\"c\"]"));
    eio_say(engine, "0/random,");
    eio_expect(engine, "4/random,\"Invalid namespace\"");
    /* It is forgiven. */
    eio_say(engine, "0");
    eio_say(engine, "2/random,[\"x\"]");
    eio_expect(engine, "");
    assert_true(engine->used);
    struct engine *bad = eio_open(3, "id=%00");
    eio_expect(bad, "4\"bad_message\"");
    assert_true(bad->used && bad->deadline_ns != 0);
}

static void refuses_bad_names(void **state) {
    (void)state;
    struct engine *engine = eio_open(4, "id=a");
    eio_say(engine, "0{\"id\":7}");
    eio_expect(engine, "4{\"message\":\"bad_message\",\"data\":{\"code\":\"bad_message\","
                       "\"message\":\"id is not a string\"}}");
    assert_true(engine->used && engine->deadline_ns != 0);
    char groups[2048];
    struct builder out = builder_over(groups, sizeof groups - 1);
    builder_text(&out, "0{\"groups\":[");
    for (unsigned i = 0; i <= GROUPS_PER_SESSION_MAX; i++)
        builder_format(&out, "%s\"g%u\"", i == 0 ? "" : ",", i);
    builder_text(&out, "]}");
    groups[out.len] = '\0';
    eio_say(engine, groups);
    assert_memory_equal(eio_written(engine), "4{\"message\":\"too_many_groups\"", 28);
    /* It may try again. */
    eio_say(engine, "0{}");
    assert_memory_equal(eio_written(engine), "0{\"sid\"", 7);
    assert_non_null(strstr(ask(api, GET("/v1/clients/a")), "\"groups\":[]"));
}

static uint64_t refused(enum connect_refusal refusal) {
    return stats_get(&eio_worker()->stats.connects_refused[refusal]);
}

static void counts_who_is_refused(void **state) {
    (void)state;
    struct engine *engine = eio_open(4, "id=a");
    eio_say(engine, "0{\"id\":7}");
    eio_say(engine, "0/nowhere,");
    eio_say(eio_open(3, ""), "0/nowhere");
    assert_int_equal(refused(CONNECT_REFUSED_BAD_MESSAGE), 1);
    assert_int_equal(refused(CONNECT_REFUSED_INVALID_NAMESPACE), 2);
    assert_int_equal(refused(CONNECT_REFUSED_TOO_MANY_GROUPS), 0);
    assert_int_equal(refused(CONNECT_REFUSED_OVERLOADED), 0);
}

static void is_sent_away(void **state) {
    (void)state;
    struct engine *engine = come("{\"id\":\"a\"}");
    eio_say(engine, "0/admin,{\"id\":\"b\"}");
    assert_int_equal(engine->parting, CLOSE_CLIENT);
    assert_answer(ask(api, DEL("/v1/clients/a")), 200, "{\"closed\":1}");
    assert_int_equal(engine->parting, CLOSE_CLIENT);
    assert_answer(ask(api, DEL("/v1/clients/b")), 200, "{\"closed\":1}");
    assert_int_equal(engine->parting, CLOSE_CLOSED_BY_API);
    eio_say(engine, "0{}");
    assert_int_equal(engine->parting, CLOSE_CLIENT);
    eio_say(engine, "1");
    sio_app.on_deadline(eio_worker(), engine);
    assert_int_equal(engine->reason, CLOSE_HELLO_TIMEOUT);
    engine = come("{\"id\":\"a\"}");
    assert_answer(ask(api, DEL("/v1/clients/a")), 200, "{\"closed\":1}");
    sio_app.on_deadline(eio_worker(), engine);
    assert_int_equal(engine->reason, CLOSE_CLOSED_BY_API);
}

static void closes_what_is_out_of_place(void **state) {
    (void)state;
    static const struct {
        const char *text;
        enum close_reason reason;
    } rows[] = {
        {"0", CLOSE_BAD_MESSAGE},
        {"2/admin,[\"x\"]", CLOSE_BAD_MESSAGE},
        {"2/random,[\"x\"]", CLOSE_BAD_MESSAGE},
        {"3/admin,1[]", CLOSE_BAD_MESSAGE},
        {"1/admin", CLOSE_BAD_MESSAGE},
        {"4{\"message\":\"x\"}", CLOSE_BAD_MESSAGE},
        {"7", CLOSE_BAD_FRAME},
        {"2{}", CLOSE_BAD_FRAME},
        {"2[\"connect\"]", CLOSE_BAD_FRAME},
        {"511-[\"x\"]", CLOSE_BAD_FRAME},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct engine *engine = come("{}");
        eio_say(engine, rows[i].text);
        assert_false(engine->used);
        assert_int_equal(engine->reason, rows[i].reason);
    }
    assert_int_equal(stats_get(&eio_worker()->stats.sio_bad), sizeof rows / sizeof *rows);
    struct engine *engine = eio_open(4, "");
    eio_say(engine, "2[\"x\"]");
    assert_false(engine->used);
}

static void survives_its_end_at_any_write(void **state) {
    (void)state;
    static const char *const texts[] = {"0/admin,",           "0/random,",
                                        "0/admin,{\"id\":1}", "25[\"register\",{\"id\":\"z\"}]",
                                        "25[\"join\",\"a\"]", "25[\"leave\",7]",
                                        "25[\"send\",{}]",    "25[\"send\",{\"to\":\"nobody\"}]"};
    for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct engine *engine = come("{\"id\":\"w\"}");
        engine->fails = true;
        eio_say(engine, texts[i]);
        node_settle();
        assert_false(engine->used);
    }
    struct engine *engine = come("{\"id\":\"w\"}");
    engine->fails = true;
    assert_answer(ask(api, DEL("/v1/clients/w")), 200, "{\"closed\":1}");
    assert_false(engine->used);
}

/* --- what it may emit ------------------------------------------------------------------------- */

static void registers(void **state) {
    (void)state;
    struct engine *engine = come("{\"groups\":[\"a\"]}");
    eio_say(engine, "20[\"register\",{\"socketId\":\"one\",\"groupFlag\":[\"b\",\"c\"]}]");
    eio_expect(engine, "30[{\"ok\":true}]");
    assert_non_null(strstr(ask(api, GET("/v1/clients/one")), "\"groups\":[\"a\",\"b\",\"c\"]"));
    /* A second one renames, and adds groups. */
    eio_say(engine, "21[\"register\",{\"id\":\"two\",\"group\":\"d\",\"meta\":true}]");
    eio_expect(engine, "31[{\"ok\":true}]");
    assert_error(ask(api, GET("/v1/clients/one")), 404, "not_found");
    assert_non_null(
        strstr(ask(api, GET("/v1/clients/two")), "\"groups\":[\"a\",\"b\",\"c\",\"d\"]"));
    eio_say(engine, "2[\"register\",{\"id\":\"two\"}]");
    eio_expect(engine, "");
    push("/v1/clients/two?id=m1", "1");
    eio_expect_messages(engine, "42[\"message\",1,{\"id\":\"m1\"}]");
    eio_say(engine, "22[\"register\",{\"id\":\"\"}]");
    eio_expect(engine, "32[{\"ok\":false,\"code\":\"bad_message\",\"message\":\"id is empty\"}]");
    eio_say(engine, "23[\"register\"]");
    eio_expect(engine, "33[{\"ok\":false,\"code\":\"bad_message\",\"message\":\"register wants an "
                       "object\"}]");
    /* Both or neither. */
    char text[2048];
    struct builder out = builder_over(text, sizeof text - 1);
    builder_text(&out, "24[\"register\",{\"id\":\"three\",\"groups\":[");
    for (unsigned i = 0; i < GROUPS_PER_SESSION_MAX; i++)
        builder_format(&out, "%s\"g%u\"", i == 0 ? "" : ",", i);
    builder_text(&out, "]}]");
    text[out.len] = '\0';
    eio_say(engine, text);
    assert_non_null(strstr(eio_written(engine), "\"code\":\"too_many_groups\""));
    assert_non_null(
        strstr(ask(api, GET("/v1/clients/two")), "\"groups\":[\"a\",\"b\",\"c\",\"d\"]"));
}

static void joins_and_leaves(void **state) {
    (void)state;
    struct engine *engine = come("{\"id\":\"a\"}");
    eio_say(engine, "20[\"join\",\"x\"]");
    eio_say(engine, "21[\"join\",[\"y\",\"z\"]]");
    eio_say(engine, "22[\"leave\",[\"x\",\"none\"]]");
    eio_say(engine, "23[\"join\"]");
    eio_expect(engine, "30[{\"ok\":true}]|31[{\"ok\":true}]|32[{\"ok\":true}]|33[{\"ok\":false,"
                       "\"code\":\"bad_message\",\"message\":\"group is neither a string nor a "
                       "list of strings\"}]");
    push("/v1/groups/y?event=e", "{\"a\":1}");
    push("/v1/groups/x", "2");
    eio_expect_messages(engine, "42[\"e\",{\"a\":1}]");
    /* Others are ignored, and counted. */
    uint64_t before = stats_get(&eio_worker()->stats.sio_ignored);
    eio_say(engine, "24[\"unknown\",1]");
    eio_say(engine, "25[7]");
    eio_expect(engine, "");
    assert_true(stats_get(&eio_worker()->stats.sio_ignored) == before + 2);
}

/* A client 1.x encodes texts twice in payloads of text, and once in payloads of bytes. */
static void decodes_texts_once_more(void **state) {
    (void)state;
    struct engine *engine = eio_open(3, "id=old");
    eio_expect(engine, "0");
    eio_say(engine, "2[\"join\",\"\u00c3\u00a91\"]");
    engine->in_bytes = true;
    eio_say(engine, "2[\"join\",\"\u00e92\"]");
    eio_say(engine, "2[\"join\",\"\u00c3\u00a9\"]");
    engine->in_bytes = false;
    eio_say(engine, "2[\"join\",\"\u00c3\u00a93\"]");
    const char *presence = ask(api, GET("/v1/clients/old"));
    assert_non_null(
        strstr(presence, "\"groups\":[\"\u00e91\",\"\u00e92\",\"\u00c3\u00a9\",\"\u00e93\"]"));
}

static void sends(void **state) {
    (void)state;
    struct engine *from = come("{\"id\":\"from\"}"),
                  *to = come("{\"id\":\"to\",\"groups\":[\"g\"]}");
    eio_say(from, "20[\"send\",{\"to\":\"to\",\"id\":\"m1\",\"event\":\"e\",\"data\":[1, 2]}]");
    eio_expect(from, "30[{\"ok\":true,\"id\":\"m1\",\"state\":\"queued\"}]");
    eio_expect_messages(to, "42[\"e\",[1, 2]]");
    eio_say(from, "21[\"send\",{\"to\":\"nobody\",\"id\":\"m2\"}]");
    eio_expect(from, "31[{\"ok\":true,\"id\":\"m2\",\"state\":\"absent\"}]");
    eio_say(from, "2[\"send\",{\"group\":\"g\",\"data\":3}]");
    eio_expect(from, "");
    eio_expect_messages(to, "42[\"message\",3]");
    eio_say(from, "22[\"send\",{\"to\":\"to\",\"ttll\":1}]");
    eio_expect(from, "32[{\"ok\":false,\"code\":\"bad_message\",\"message\":\"unknown field "
                     "\\\"ttll\\\"\"}]");
    eio_say(from, "23[\"send\",7]");
    assert_non_null(strstr(eio_written(from), "\"code\":\"bad_message\""));
    /* The id is the client's own, not the producers'. */
    eio_say(from, "24[\"send\",{\"to\":\"to\",\"id\":\"m1\",\"event\":\"e\",\"data\":[1, 2]}]");
    eio_expect(from, "34[{\"ok\":true,\"id\":\"m1\",\"state\":\"duplicate\"}]");
    eio_expect_messages(to, "");
    push("/v1/clients/to?id=m1", "4");
    eio_expect_messages(to, "42[\"message\",4]");
    /* One that has gone is not answered, and its message goes its way. */
    eio_say(from, "25[\"send\",{\"to\":\"to\",\"data\":5}]");
    eio_end(from);
    eio_expect_messages(to, "42[\"message\",5]");
}

static void sends_bytes(void **state) {
    (void)state;
#define PLACE(n) "{\"_placeholder\":true,\"num\":" #n "}"
    struct engine *from = come("{\"id\":\"from\"}"), *to = come("{\"id\":\"to\"}");
    eio_say(from, "51-0[\"send\",{\"to\":\"to\",\"id\":\"m1\",\"data\":" PLACE(0) "}]");
    eio_expect(from, "");
    eio_attach(from, "abc");
    eio_expect(from, "30[{\"ok\":true,\"id\":\"m1\",\"state\":\"queued\"}]");
    eio_expect_messages(to, "451-[\"message\"," PLACE(0) "]\x1e"
                                                         "bYWJj");
    eio_say(from, "52-1[\"send\",{\"data\":" PLACE(1) ",\"to\":\"to\"}]");
    eio_attach(from, "");
    eio_attach(from, "xyz");
    assert_non_null(strstr(eio_written(from), "\"state\":\"queued\""));
    eio_expect_messages(to, "451-[\"message\"," PLACE(0) "]\x1e"
                                                         "beHl6");
    eio_say(from, "51-2[\"send\",{\"data\":[" PLACE(0) "],\"to\":\"to\"}]");
    eio_attach(from, "abc");
    eio_expect(from, "32[{\"ok\":false,\"code\":\"bad_message\",\"message\":\"bytes stand only "
                     "where the whole of data does\"}]");
    eio_say(from, "51-3[\"send\",{\"data\":" PLACE(0) ",\"to\":[" PLACE(0) "]}]");
    eio_attach(from, "abc");
    assert_non_null(strstr(eio_written(from), "\"code\":\"bad_message\""));
    /* A text while bytes are awaited, bytes while none are. */
    eio_say(from, "51-4[\"send\",{\"data\":" PLACE(0) ",\"to\":\"to\"}]");
    eio_say(from, "2[\"x\"]");
    assert_false(from->used);
    assert_int_equal(from->reason, CLOSE_BAD_FRAME);
    eio_attach(to, "abc");
    assert_false(to->used);
    /* Nothing of it stays behind. */
    struct engine *half = come("{}");
    eio_say(half, "52-[\"x\"]");
    eio_attach(half, "abc");
    eio_end(half);
}

static void bounds_attachments(void **state) {
    (void)state;
    struct engine *engine = come("{}");
    char *bytes = malloc(SIO_PARTS_BYTES_MAX);
    assert_non_null(bytes);
    memset(bytes, 'a', SIO_PARTS_BYTES_MAX);
    eio_say(engine, "52-[\"x\"]");
    eio_hand(engine, span_of(bytes, SIO_PARTS_BYTES_MAX - 8), true);
    assert_true(engine->used);
    eio_attach(engine, "a");
    assert_false(engine->used);
    assert_int_equal(engine->reason, CLOSE_TOO_LARGE);
    free(bytes);
}

/* Whoever sends more than the node can answer is not read any more, for a while. */
static void bounds_sends(void **state) {
    (void)state;
    client_connect(1, "{\"type\":\"hello\",\"id\":\"far\"}\n");
    struct engine *engine = come("{}");
    struct span packet = SPAN("2[\"send\",{\"to\":\"far\"}]");
    for (unsigned i = 1; i <= CLIENT_SENDS_MAX; i++)
        assert_int_equal(sio_app.on_message(eio_worker(), engine, packet, false),
                         i < CLIENT_SENDS_MAX);
    assert_int_equal(engine->resumes, 0);
    node_settle();
    assert_int_equal(engine->resumes, 1);
    assert_true(sio_app.on_message(eio_worker(), engine, packet, false));
    node_settle();
}

static void forbids_sends(void **state) {
    (void)state;
    struct engine *engine = come("{}");
    fake_config.client_send = false;
    eio_say(engine, "20[\"send\",{\"to\":\"a\"}]");
    fake_config.client_send = true;
    assert_non_null(strstr(eio_written(engine), "\"code\":\"forbidden\""));
}

/* --- what it gets ----------------------------------------------------------------------------- */

static void keeps_namespaces_apart(void **state) {
    (void)state;
    struct engine *engine = come("{\"id\":\"a\",\"groups\":[\"g\"]}");
    eio_say(engine, "0/admin,{\"id\":\"a\",\"groups\":[\"g\"],\"meta\":true}");
    eio_written(engine);
    push("/v1/messages", "{\"to\":\"a\",\"namespace\":\"/admin\",\"id\":\"m1\",\"data\":1}");
    push("/v1/messages", "{\"group\":\"g\",\"namespace\":\"/\",\"data\":2}");
    push("/v1/groups/g?namespace=/admin&id=m3", "3");
    push("/v1/broadcast?namespace=/admin&id=m4", "4");
    push("/v1/broadcast", "5");
    eio_expect_messages(engine, "42/admin,[\"message\",1,{\"id\":\"m1\"}]|42[\"message\",2]|"
                                "42/admin,[\"message\",3,{\"id\":\"m3\",\"group\":\"g\"}]|"
                                "42/admin,[\"message\",4,{\"id\":\"m4\"}]|42[\"message\",5]");
    assert_error(ask(api, JSON_POST("/v1/messages", "{\"to\":\"a\",\"namespace\":\"/x\"}")), 400,
                 "bad_message");
    assert_error(ask(api, GET("/v1/groups/g?namespace=/x")), 400, "bad_message");
    assert_non_null(strstr(ask(api, GET("/v1/groups/g?namespace=/admin")), "\"count\":1"));
    assert_answer(ask(api, PUT("/v1/groups/h/clients/a?namespace=/admin")), 200,
                  "{\"sessions\":1}");
    assert_non_null(strstr(ask(api, GET("/v1/groups/h?namespace=/admin")), "\"count\":1"));
    assert_non_null(strstr(ask(api, GET("/v1/groups/h")), "\"count\":0"));
    /* The API ends all of an id; the client hears so, and may come back. */
    push("/v1/clients/a", "6");
    assert_answer(ask(api, DEL("/v1/clients/a")), 200, "{\"closed\":2}");
    eio_expect(engine, "1|1/admin,");
    assert_true(outbox_empty(&engine->outbox));
    assert_true(engine->used && engine->deadline_ns != 0);
    eio_say(engine, "0{\"id\":\"a\"}");
    assert_memory_equal(eio_written(engine), "0{\"sid\"", 7);
}

static void acknowledges_by_callback(void **state) {
    (void)state;
    struct engine *engine = come("{\"id\":\"a\",\"meta\":true}");
    push("/v1/clients/a?ack=1&id=m1", "1");
    push("/v1/clients/a?ack=1&id=m2", "2");
    eio_expect_messages(engine, "421000000000[\"message\",1,{\"id\":\"m1\",\"ack\":true}]|"
                                "421000000001[\"message\",2,{\"id\":\"m2\",\"ack\":true}]");
    eio_say(engine, "31000000001[\"whatever\"]");
    assert_non_null(strstr(ask(api, GET("/v1/messages/m2")), "\"state\":\"acked\""));
    /* In silence it comes again, and the callback of the first copy settles it all the same. */
    node_pass(11 * NS_PER_S);
    eio_expect_messages(
        engine, "421000000002[\"message\",1,{\"id\":\"m1\",\"ack\":true,\"redelivered\":true}]");
    assert_non_null(strstr(ask(api, GET("/v1/messages/m1")), "\"state\":\"pending\""));
    eio_say(engine, "31000000000[]");
    assert_non_null(strstr(ask(api, GET("/v1/messages/m1")), "\"state\":\"acked\""));
    /* None of these is any. */
    uint64_t before = stats_get(&eio_worker()->stats.acks_ignored);
    eio_say(engine, "31000000000[]");
    eio_say(engine, "31000000003[]");
    eio_say(engine, "35[]");
    eio_say(engine, "3[]");
    assert_true(stats_get(&eio_worker()->stats.acks_ignored) == before + 4);
    assert_true(engine->used);
}

/* One that finds no room to its keeper is told later; one that finds no memory either is forgotten.
 */
static void acknowledges_when_there_is_room(void **state) {
    (void)state;
    struct worker *worker = eio_worker();
    struct queue *queue = &fake_server.post.boxes[1].from[0];
    char id[16], text[64];
    unsigned number = 0;
    do
        snprintf(id, sizeof id, "a%u", number++);
    while (keeper_of(&fake_server, name_hash(NAME_ID, NAMESPACE_MAIN, span_text(id))) == 0);
    snprintf(text, sizeof text, "{\"id\":\"%s\"}", id);
    struct engine *engine = come(text);
    for (unsigned i = 1; i <= 2; i++) {
        snprintf(text, sizeof text, "/v1/clients/%s?ack=1&id=m%u", id, i);
        push(text, "1");
    }
    (void)eio_messages(engine);
    while (post_room(&fake_server.post, 0, 1))
        assert_true(queue_push(queue, &(struct mail){.kind = MAIL_RETURN}));
    assert_false(sio_app.on_message(worker, engine, SPAN("31000000000[]"), false));
    assert_int_equal(engine->resumes, 0);
    node_settle();
    assert_int_equal(engine->resumes, 1);
    assert_non_null(strstr(ask(api, GET("/v1/messages/m1")), "\"state\":\"acked\""));
    while (post_room(&fake_server.post, 0, 1))
        assert_true(queue_push(queue, &(struct mail){.kind = MAIL_RETURN}));
    uint64_t ceiling_bytes = fake_server.budget.ceiling_bytes, taken = 0;
    fake_server.budget.ceiling_bytes = 1;
    while (account_try(&worker->account, 16))
        taken += 16;
    assert_true(sio_app.on_message(worker, engine, SPAN("31000000001[]"), false));
    fake_server.budget.ceiling_bytes = ceiling_bytes;
    account_give(&worker->account, taken);
    assert_int_equal(stats_get(&worker->stats.sio_acks_forgotten), 1);
    node_settle();
    assert_non_null(strstr(ask(api, GET("/v1/messages/m2")), "\"state\":\"pending\""));
}

/* What was handed to it under one id it may acknowledge under another. */
static void acknowledges_after_a_second_register(void **state) {
    (void)state;
    struct engine *engine = come("{\"id\":\"a\"}");
    push("/v1/clients/a?ack=1&id=m1", "1");
    push("/v1/clients/b?ack=1&id=m2", "2");
    eio_expect_messages(engine, "421000000000[\"message\",1]");
    eio_say(engine, "2[\"register\",{\"id\":\"b\"}]");
    eio_expect_messages(engine, "421000000001[\"message\",2]");
    eio_say(engine, "31000000000[]");
    eio_say(engine, "31000000001[]");
    assert_non_null(strstr(ask(api, GET("/v1/messages/m1")), "\"state\":\"acked\""));
    assert_non_null(strstr(ask(api, GET("/v1/messages/m2")), "\"state\":\"acked\""));
}

/* More than the table begins with are without a callback; all are understood. */
static void remembers_many_numbers(void **state) {
    (void)state;
    struct engine *engine = come("{\"id\":\"a\"}");
    char text[64];
    for (unsigned i = 0; i < 3 * SIO_ACKS_MIN; i++) {
        snprintf(text, sizeof text, "/v1/clients/a?ack=1&id=m%u", i);
        push(text, "1");
    }
    eio_messages(engine);
    for (unsigned i = 0; i < 3 * SIO_ACKS_MIN; i++) {
        snprintf(text, sizeof text, "3%u[]", 1000000000 + i);
        eio_say(engine, text);
    }
    assert_error(ask(api, GET("/v1/messages/m")), 404, "not_found");
    for (unsigned i = 0; i < 3 * SIO_ACKS_MIN; i++) {
        snprintf(text, sizeof text, "GET /v1/messages/m%u HTTP/1.1\r\nHost: localhost\r\n\r\n", i);
        assert_non_null(strstr(ask(api, text), "\"state\":\"acked\""));
    }
}

/* --- for the public test suites --------------------------------------------------------------- */

static void echoes(void **state) {
    (void)state;
    fake_config.conformance = true;
    struct engine *engine = eio_open(4, "");
    eio_say(engine, "0{\"token\":\"x\"}");
    const char *auth = strchr(eio_written(engine), '|');
    assert_string_equal(auth, "|2[\"auth\",{\"token\":\"x\"}]");
    eio_say(engine, "0/admin,");
    auth = strchr(eio_written(engine), '|');
    assert_string_equal(auth, "|2/admin,[\"auth\",{}]");
    eio_say(engine, "2[\"message\",1,\"2\",{\"3\":[true]}]");
    eio_expect(engine, "2[\"message-back\",1,\"2\",{\"3\":[true]}]");
    eio_say(engine, "2[\"message\"]");
    eio_expect(engine, "2[\"message-back\"]");
    eio_say(engine, "2456[\"message-with-ack\" , 1,2]");
    eio_expect(engine, "3456[ 1,2]");
    eio_say(engine, "27[\"message-with-ack\"]");
    eio_expect(engine, "37[]");
    eio_say(engine, "51-[\"message\"," PLACE(0) "]");
    eio_attach(engine, "abc");
    eio_expect(engine, "51-[\"message-back\"," PLACE(0) "]|<abc>");
    eio_say(engine, "52-/admin,3[\"message-with-ack\"," PLACE(0) "," PLACE(1) "]");
    eio_attach(engine, "abc");
    eio_attach(engine, "d");
    eio_expect(engine, "62-/admin,3[" PLACE(0) "," PLACE(1) "]|<abc>|<d>");
    fake_config.conformance = false;
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(comes_by_protocol_5),
        CASE(comes_by_protocol_4),
        CASE(refuses_bad_names),
        CASE(counts_who_is_refused),
        CASE(is_sent_away),
        CASE(closes_what_is_out_of_place),
        CASE(survives_its_end_at_any_write),
        CASE(registers),
        CASE(joins_and_leaves),
        CASE(decodes_texts_once_more),
        CASE(sends),
        CASE(sends_bytes),
        CASE(bounds_attachments),
        CASE(bounds_sends),
        CASE(forbids_sends),
        CASE(keeps_namespaces_apart),
        CASE(acknowledges_by_callback),
        CASE(acknowledges_when_there_is_room),
        CASE(acknowledges_after_a_second_register),
        CASE(remembers_many_numbers),
        CASE(echoes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
