/* A door to a broker that this test plays, over a connection on loopback, byte by byte where that
 * matters. */
#include "ingest/amqp/amqp_door.h"

#include "core/base/thread.h"
#include "tests/support/amqp_writer.h"
#include "tests/support/cmocka_first.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define METHOD 1
#define HEADER 2
#define BODY 3
#define PATIENCE_MS 10000

static struct door door;
static struct door_place place;
static struct door_self self = {.name = "n1", .channels = 2};
static int listener, broker;
static char said_bytes[1 << 18], heard[1 << 16];
static struct builder said; /* what the broker is about to say */
static size_t heard_len;

static int begin(void **state) {
    (void)state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_return_code(bind(listener, (struct sockaddr *)&address, len), 0);
    assert_return_code(listen(listener, 1), 0);
    getsockname(listener, (struct sockaddr *)&address, &len);
    char url[64];
    snprintf(url, sizeof(url), "amqp://u:pw@127.0.0.1:%u/v", ntohs(address.sin_port));
    assert_null(amqp_url_parse(span_text(url), &place.url));
    char problem[400];
    assert_true(door_load(problem, sizeof(problem)));
    assert_true(door_resolve(&place, problem, sizeof(problem)));
    door_init(&door);
    door_open(&door, &place, 0, &self);
    broker = accept(listener, NULL, NULL);
    assert_return_code(broker, 0);
    int on = 1;
    setsockopt(broker, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    said = builder_over(said_bytes, sizeof(said_bytes));
    heard_len = 0;
    return 0;
}

static int finish(void **state) {
    (void)state;
    door_close(&door);
    close(broker);
    close(listener);
    return 0;
}

/* --- the broker ------------------------------------------------------------------------------- */

static size_t frame_at;

static void frame_begin(unsigned kind, unsigned channel) {
    amqp_number_put(&said, kind, 1);
    amqp_number_put(&said, channel, 2);
    frame_at = said.len;
    amqp_number_put(&said, 0, 4);
}

static void frame_end(void) {
    struct builder length = builder_over(said.at + frame_at, 4);
    amqp_number_put(&length, said.len - frame_at - 4, 4);
    amqp_number_put(&said, 0xce, 1);
    assert_false(said.full);
}

static void method(unsigned channel, unsigned class, unsigned number) {
    frame_begin(METHOD, channel);
    amqp_number_put(&said, class, 2);
    amqp_number_put(&said, number, 2);
}

static void long_put(const char *text) {
    amqp_number_put(&said, strlen(text), 4);
    builder_text(&said, text);
}

static void start(const char *mechanisms) {
    method(0, 10, 10);
    amqp_number_put(&said, 0x0009, 2);
    amqp_number_put(&said, 0, 4);
    long_put(mechanisms);
    long_put("en_US");
    frame_end();
}

static void tune(unsigned channels, unsigned frame, unsigned heartbeat) {
    method(0, 10, 30);
    amqp_number_put(&said, channels, 2);
    amqp_number_put(&said, frame, 4);
    amqp_number_put(&said, heartbeat, 2);
    frame_end();
}

static void open_ok(void) {
    method(0, 10, 41);
    amqp_short_put(&said, "");
    frame_end();
}

static void closes(unsigned channel, unsigned code, const char *text) {
    method(channel, channel == 0 ? 10 : 20, channel == 0 ? 50 : 40);
    amqp_number_put(&said, code, 2);
    amqp_short_put(&said, text);
    amqp_number_put(&said, 0, 4);
    frame_end();
}

/* The next event; NOTHING: none came for a long time. */
static struct door_event next(void) {
    struct door_event event;
    unsigned ms = 0;
    for (door_next(&door, &event); event.kind <= DOOR_PASSED && ms < PATIENCE_MS; ms++) {
        if (event.kind == DOOR_NOTHING)
            usleep(1000);
        door_next(&door, &event);
    }
    return event;
}

/* Sends what was said, so many bytes at a time, and passes over what comes of it until that comes,
 * unless nothing is to. */
static struct door_event say(size_t piece, enum door_event_kind wanted) {
    struct door_event event = {.kind = DOOR_NOTHING};
    for (size_t at = 0; at < said.len && event.kind != DOOR_LOST; at += piece) {
        size_t len = said.len - at < piece ? said.len - at : piece;
        if (write(broker, said.at + at, len) < 0)
            break;
        if (event.kind == DOOR_NOTHING || event.kind != wanted)
            door_next(&door, &event);
    }
    said.len = 0;
    while (wanted != DOOR_NOTHING && event.kind != wanted) {
        event = next();
        if (event.kind == DOOR_NOTHING)
            break;
    }
    return event;
}

/* What the node says next. */
static void hear(void) {
    struct door_event event;
    ssize_t got = 0;
    for (unsigned ms = 0; got <= 0 && ms < PATIENCE_MS; ms++) {
        door_next(&door, &event);
        assert_true(event.kind <= DOOR_PASSED);
        got = recv(broker, heard, sizeof(heard), MSG_DONTWAIT);
        if (got <= 0)
            usleep(1000);
    }
    heard_len = got > 0 ? (size_t)got : 0;
}

static bool heard_has(const char *text) {
    return memmem(heard, heard_len, text, strlen(text)) != NULL;
}

static void come_up(size_t piece) {
    struct door_event event;
    door_next(&door, &event);
    start("AMQPLAIN PLAIN");
    say(piece, DOOR_NOTHING);
    tune(2047, 131072, 60);
    say(piece, DOOR_NOTHING);
    open_ok();
    event = say(piece, DOOR_CAME_UP);
    assert_int_equal(event.kind, DOOR_CAME_UP);
    hear();
    assert_int_equal(door.state, DOOR_OPEN);
}

/* --- the greeting ----------------------------------------------------------------------------- */

static void greets(void **state) {
    (void)state;
    struct door_event event;
    door_next(&door, &event);
    hear();
    assert_memory_equal(heard, "AMQP\0\0\x09\x01", 8);
    start("AMQPLAIN PLAIN");
    say(1000, DOOR_NOTHING);
    hear();
    assert_true(heard_has("connection_name") && heard_has("n1"));
    assert_non_null(memmem(heard, heard_len, "\0u\0pw", 5));
    tune(0, 0, 0);
    say(1000, DOOR_NOTHING);
    hear();
    /* channel_max, frame_max, heartbeat */
    assert_memory_equal(heard + 11, "\0\x02\0\x02\0\0\0\x0a", 8);
    open_ok();
    event = say(1000, DOOR_CAME_UP);
    assert_int_equal(event.kind, DOOR_CAME_UP);
}

static void greets_byte_by_byte(void **state) {
    (void)state;
    come_up(1);
}

static void lost_with(const char *why) {
    struct door_event event = say(1000, DOOR_LOST);
    assert_int_equal(event.kind, DOOR_LOST);
    assert_int_equal(door.state, DOOR_CLOSED);
    if (strstr(door.why, why) == NULL)
        fail_msg("%s", door.why);
}

static void another_protocol(void **state) {
    (void)state;
    struct door_event event;
    door_next(&door, &event);
    builder_text(&said, "HTTP/1.1 400 Bad Request\r\n\r\n");
    lost_with("");
}

static void another_version(void **state) {
    (void)state;
    struct door_event event;
    door_next(&door, &event);
    builder_bytes(&said, "AMQP\0\1\0\0", 8);
    lost_with("does not greet");
}

static void no_password(void **state) {
    (void)state;
    struct door_event event;
    door_next(&door, &event);
    start("EXTERNAL");
    lost_with("PLAIN");
    assert_true(door.denied);
}

static void few_channels(void **state) {
    (void)state;
    struct door_event event;
    door_next(&door, &event);
    start("PLAIN");
    say(1000, DOOR_NOTHING);
    tune(1, 131072, 10);
    lost_with("it allows 1 channels");
}

static void small_frames(void **state) {
    (void)state;
    struct door_event event;
    door_next(&door, &event);
    start("PLAIN");
    say(1000, DOOR_NOTHING);
    tune(2047, 100, 10);
    lost_with("frames of 100 bytes");
}

static void not_let_in(void **state) {
    (void)state;
    struct door_event event;
    door_next(&door, &event);
    start("PLAIN");
    say(1000, DOOR_NOTHING);
    closes(0, 403, "ACCESS_REFUSED");
    lost_with("it says 403 ACCESS_REFUSED");
    assert_true(door.denied);
}

static void body_in_the_greeting(void **state) {
    (void)state;
    struct door_event event;
    door_next(&door, &event);
    frame_begin(BODY, 0);
    builder_text(&said, "x");
    frame_end();
    lost_with("does not greet");
}

static void nobody_listens(void **state) {
    (void)state;
    struct door_event event;
    door_close(&door);
    close(listener);
    door_open(&door, &place, 0, &self);
    event = next();
    assert_int_equal(event.kind, DOOR_LOST);
    assert_non_null(strstr(door.why, "refused"));
}

/* --- frames ----------------------------------------------------------------------------------- */

static void deliver(unsigned channel, unsigned tag, struct span header, const char *body) {
    method(channel, 60, 60);
    amqp_short_put(&said, "ringpost");
    amqp_number_put(&said, tag, 8);
    amqp_number_put(&said, 1, 1);
    amqp_short_put(&said, "");
    amqp_short_put(&said, "q");
    frame_end();
    frame_begin(HEADER, channel);
    amqp_number_put(&said, 60, 2);
    amqp_number_put(&said, 0, 2);
    amqp_number_put(&said, strlen(body), 8);
    builder_span_add(&said, header);
    frame_end();
    frame_begin(BODY, channel);
    builder_text(&said, body);
    frame_end();
}

static void a_delivery_comes_frame_by_frame(void **state) {
    (void)state;
    struct door_event event;
    come_up(1000);
    deliver(1, 7, span_of("\0\0", 2), "hello");
    assert_return_code(write(broker, said.at, said.len), 0);
    event = next();
    assert_int_equal(event.kind, DOOR_DELIVERY);
    assert_int_equal(event.tag, 7);
    assert_true(event.redelivered);
    event = next();
    assert_int_equal(event.kind, DOOR_HEADER);
    assert_int_equal(event.body_size, 5);
    assert_int_equal(event.bytes.len, 2);
    event = next();
    assert_int_equal(event.kind, DOOR_BODY);
    assert_memory_equal(event.bytes.at, "hello", 5);
    door_next(&door, &event);
    assert_int_equal(event.kind, DOOR_NOTHING);
}

/* Whoever reads is to have its turn between them, however many there are. */
static void what_tells_nobody_anything_comes_frame_by_frame(void **state) {
    (void)state;
    struct door_event event;
    unsigned passed = 0;
    come_up(1000);
    for (unsigned i = 0; i < 50; i++) {
        method(1, 60, 72); /* basic.get-empty */
        amqp_short_put(&said, "");
        frame_end();
    }
    assert_int_equal(write(broker, said.at, said.len), said.len);
    said.len = 0;
    for (unsigned ms = 0; passed < 50 && ms < PATIENCE_MS; ms++) {
        door_next(&door, &event);
        if (event.kind == DOOR_NOTHING)
            usleep(1000);
        else
            assert_int_equal(event.kind, DOOR_PASSED);
        passed += event.kind == DOOR_PASSED;
    }
    assert_int_equal(passed, 50);
}

static void who_takes_no_answers_is_lost(void **state) {
    (void)state;
    struct door_event event = {.kind = DOOR_NOTHING};
    come_up(1000);
    while (said.len < sizeof(said_bytes) - 100) {
        method(1, 20, 20); /* channel.flow */
        amqp_number_put(&said, 1, 1);
        frame_end();
    }
    size_t at = 0;
    for (unsigned ms = 0; event.kind != DOOR_LOST && ms < PATIENCE_MS;) {
        ssize_t sent = send(broker, said.at + at, said.len - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        at = (at + (sent > 0 ? (size_t)sent : 0)) % said.len;
        ms += sent < 0;
        do
            door_next(&door, &event);
        while (event.kind == DOOR_PASSED);
    }
    assert_int_equal(event.kind, DOOR_LOST);
    assert_string_equal(door.why, "it takes no answers");
}

static void methods_are_told(void **state) {
    (void)state;
    struct door_event event;
    come_up(1000);
    door_ack(&door, 1, 9, true);
    hear();
    assert_true(heard_len >= 21);
    closes(2, 404, "NOT_FOUND");
    event = say(3, DOOR_CHANNEL_LOST);
    assert_int_equal(event.kind, DOOR_CHANNEL_LOST);
    assert_int_equal(event.code, 404);
    method(0, 10, 60);
    amqp_short_put(&said, "low on memory");
    frame_end();
    event = say(1000, DOOR_BLOCKED);
    assert_int_equal(event.kind, DOOR_BLOCKED);
    method(1, 60, 30);
    amqp_short_put(&said, "ringpost");
    amqp_number_put(&said, 1, 1);
    frame_end();
    event = say(1000, DOOR_CANCELLED);
    assert_int_equal(event.kind, DOOR_CANCELLED);
    closes(0, 320, "CONNECTION_FORCED");
    lost_with("it says 320 CONNECTION_FORCED");
    assert_false(door.denied);
}

static void strange_frames_end_it(void **state) {
    (void)state;
    come_up(1000);
    frame_begin(BODY, 3);
    builder_text(&said, "x");
    frame_end();
    lost_with("channel 3");
}

static void a_long_frame_ends_it(void **state) {
    (void)state;
    come_up(1000);
    amqp_number_put(&said, BODY, 1);
    amqp_number_put(&said, 1, 2);
    amqp_number_put(&said, 131072, 4);
    lost_with("");
}

static void a_frame_without_an_end_ends_it(void **state) {
    (void)state;
    come_up(1000);
    frame_begin(BODY, 1);
    builder_text(&said, "x");
    frame_end();
    said.at[said.len - 1] = 0;
    lost_with("");
}

static void the_end_of_the_connection(void **state) {
    (void)state;
    come_up(1000);
    close(broker);
    lost_with("");
}

/* A frame that is nothing but arrays in arrays, on the stack that the port's thread has. */
static void *nested_run(void *argument) {
    static char header[DOOR_FRAME_BYTES];
    struct builder out = builder_over(header, sizeof(header));
    unsigned depth = 26000, inside = 5 * depth;
    struct door_event event;
    (void)argument;
    come_up(1000);
    amqp_number_put(&out, 1 << 13, 2);
    amqp_number_put(&out, inside + 2, 4);
    amqp_short_put(&out, "x");
    for (; inside > 0; inside -= 5) {
        builder_byte(&out, 'A');
        amqp_number_put(&out, inside - 5, 4);
    }
    assert_false(out.full);
    deliver(1, 1, builder_span(&out), "x");
    event = say(sizeof(said_bytes), DOOR_BODY);
    assert_int_equal(event.kind, DOOR_BODY);
    return NULL;
}

static void nested_to_the_bottom(void **state) {
    (void)state;
    pthread_t thread;
    assert_int_equal(thread_start_deep(&thread, nested_run, NULL, DOOR_STACK_BYTES), 0);
    pthread_join(thread, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(greets, begin, finish),
        cmocka_unit_test_setup_teardown(greets_byte_by_byte, begin, finish),
        cmocka_unit_test_setup_teardown(another_protocol, begin, finish),
        cmocka_unit_test_setup_teardown(another_version, begin, finish),
        cmocka_unit_test_setup_teardown(no_password, begin, finish),
        cmocka_unit_test_setup_teardown(few_channels, begin, finish),
        cmocka_unit_test_setup_teardown(small_frames, begin, finish),
        cmocka_unit_test_setup_teardown(not_let_in, begin, finish),
        cmocka_unit_test_setup_teardown(body_in_the_greeting, begin, finish),
        cmocka_unit_test_setup_teardown(nobody_listens, begin, finish),
        cmocka_unit_test_setup_teardown(a_delivery_comes_frame_by_frame, begin, finish),
        cmocka_unit_test_setup_teardown(what_tells_nobody_anything_comes_frame_by_frame, begin,
                                        finish),
        cmocka_unit_test_setup_teardown(who_takes_no_answers_is_lost, begin, finish),
        cmocka_unit_test_setup_teardown(methods_are_told, begin, finish),
        cmocka_unit_test_setup_teardown(strange_frames_end_it, begin, finish),
        cmocka_unit_test_setup_teardown(a_long_frame_ends_it, begin, finish),
        cmocka_unit_test_setup_teardown(a_frame_without_an_end_ends_it, begin, finish),
        cmocka_unit_test_setup_teardown(the_end_of_the_connection, begin, finish),
        cmocka_unit_test_setup_teardown(nested_to_the_bottom, begin, finish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
