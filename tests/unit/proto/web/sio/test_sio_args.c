/* What clients say of themselves, from each source and from several. */
#include "proto/web/sio/sio_args.c"

#include "tests/support/cmocka_first.h"

#include <stdlib.h>

static struct sio_room *room;
static struct sio_names names;
static struct complaint complaint;

static int make_room(void **state) {
    (void)state;
    room = malloc(sizeof *room);
    return room == NULL;
}

static int drop_room(void **state) {
    (void)state;
    free(room);
    return 0;
}

static void begin(void) {
    sio_names_init(&names, room);
    memset(&complaint, 0, sizeof complaint);
}

static struct json_value value_of(const char *json) {
    struct json_value value;
    struct json_error error;
    assert_true(json_scan(span_text(json), &value, &error));
    return value;
}

static void has_groups(unsigned count, const char *first, const char *second) {
    assert_int_equal(names.groups.count, count);
    if (count > 0)
        assert_true(span_equal(names.groups.at[0], span_text(first)));
    if (count > 1)
        assert_true(span_equal(names.groups.at[1], span_text(second)));
}

static void has_id(const char *id) {
    assert_true(span_equal(names.id, span_text(id)));
}

static void reads_queries(void **state) {
    (void)state;
    begin();
    assert_true(sio_names_query(
        &names, SPAN("EIO=4&id=a&t=x&groups=q,p,,q&id=till%2C7&token=s&meta=1"), &complaint));
    has_id("till,7");
    has_groups(2, "p", "q");
    assert_true(names.meta && names.meta_given);
    begin();
    assert_true(sio_names_query(&names, SPAN("group=a&groups=b%2Cc&group=d"), &complaint));
    has_groups(3, "b", "c");
    begin();
    assert_true(sio_names_query(&names, SPAN(""), &complaint));
    has_id("");
    assert_false(names.meta_given);
    assert_true(sio_names_query(&names, SPAN("groups=,"), &complaint));
    has_groups(0, NULL, NULL);
    static const char *const bad[] = {"id=",   "id=%00",   "id=%zz",
                                      "%ff=1", "meta=yes", "groups=a%0a"};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        begin();
        assert_false(sio_names_query(&names, span_text(bad[i]), &complaint));
        assert_int_equal(complaint.code, CODE_BAD_MESSAGE);
    }
}

static void knows_queries_that_matter(void **state) {
    (void)state;
    assert_true(sio_query_matters(SPAN("a=1&id=x")));
    assert_true(sio_query_matters(SPAN("%69d=x")));
    assert_true(sio_query_matters(SPAN("group")));
    assert_false(sio_query_matters(SPAN("")));
    assert_false(sio_query_matters(SPAN("a=1&idx=2&token=3&socketId=4")));
}

static void lays_one_over_the_other(void **state) {
    (void)state;
    begin();
    assert_true(sio_names_query(&names, SPAN("id=a&groups=x,y&meta=1"), &complaint));
    assert_true(sio_names_query(&names, SPAN("group=z"), &complaint));
    has_id("a");
    has_groups(1, "z", NULL);
    assert_true(names.meta);
    assert_true(
        sio_names_auth(&names, SPAN("{\"id\":\"b\",\"meta\":false,\"x\":[1]}"), &complaint));
    has_id("b");
    has_groups(1, "z", NULL);
    assert_false(names.meta);
    assert_true(sio_names_auth(&names, SPAN("{\"id\":null,\"groups\":[]}"), &complaint));
    has_id("b");
    has_groups(0, NULL, NULL);
}

static void reads_auth(void **state) {
    (void)state;
    begin();
    assert_true(sio_names_auth(
        &names, SPAN("{\"groups\":[\"b,c\"],\"group\":\"a\",\"id\":\"\\u00e4\",\"token\":7}"),
        &complaint));
    has_id("\xc3\xa4");
    has_groups(2, "a", "b,c");
    /* Words of register alone. */
    begin();
    assert_true(sio_names_auth(&names, SPAN("{\"socketId\":7,\"groupFlag\":{}}"), &complaint));
    has_id("");
    static const char *const bad[] = {"{\"id\":7}",       "{\"id\":\"\"}",
                                      "{\"groups\":[1]}", "{\"group\":{}}",
                                      "{\"meta\":1}",     "{\"id\":\"a\",\"id\":\"b\"}"};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        begin();
        assert_false(sio_names_auth(&names, span_text(bad[i]), &complaint));
        assert_int_equal(complaint.code, CODE_BAD_MESSAGE);
    }
}

static void reads_registers(void **state) {
    (void)state;
    struct json_value argument = value_of("{\"socketId\":\"s\",\"groupFlag\":[\"f\",\"e\"]}");
    begin();
    assert_true(sio_names_register(&names, &argument, &complaint));
    has_id("s");
    has_groups(2, "e", "f");
    argument = value_of("{\"id\":\"s\",\"socketId\":\"s\",\"groupFlag\":\"f\",\"groups\":[\"e\"]}");
    begin();
    assert_true(sio_names_register(&names, &argument, &complaint));
    has_groups(2, "e", "f");
    static const char *const bad[] = {"null", "[]", "\"a\"", "{\"id\":\"a\",\"socketId\":\"b\"}"};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        argument = value_of(bad[i]);
        begin();
        assert_false(sio_names_register(&names, &argument, &complaint));
        assert_int_equal(complaint.code, CODE_BAD_MESSAGE);
    }
}

static void reads_groups(void **state) {
    (void)state;
    struct json_value argument = value_of("\"a\"");
    begin();
    assert_true(sio_names_groups(&names, &argument, &complaint));
    has_groups(1, "a", NULL);
    argument = value_of("[\"b\",\"a\",\"b\"]");
    begin();
    assert_true(sio_names_groups(&names, &argument, &complaint));
    has_groups(2, "a", "b");
    argument = value_of("[]");
    begin();
    assert_true(sio_names_groups(&names, &argument, &complaint));
    argument = (struct json_value){.kind = JSON_NONE};
    assert_false(sio_names_groups(&names, &argument, &complaint));
    argument = value_of("7");
    assert_false(sio_names_groups(&names, &argument, &complaint));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_queries),           cmocka_unit_test(knows_queries_that_matter),
        cmocka_unit_test(lays_one_over_the_other), cmocka_unit_test(reads_auth),
        cmocka_unit_test(reads_registers),         cmocka_unit_test(reads_groups),
    };
    return cmocka_run_group_tests(tests, make_room, drop_room);
}
