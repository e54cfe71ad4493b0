/* The codes are those of the contract, each once. */
#include "proto/text/codes.c"

#include "tests/support/cmocka_first.h"

#include <string.h>

static void end_a_session_as_the_contract_says(void **state) {
    (void)state;
    static const char *const closing[] = {"bad_json",      "bad_frame",         "hello_required",
                                          "hello_timeout", "heartbeat_timeout", "unauthorized",
                                          "too_large",     "too_slow"};
    unsigned count = 0;
    for (unsigned code = CODE_NONE; code < CODE_COUNT; code++) {
        bool listed = false;
        for (size_t i = 0; i < sizeof closing / sizeof closing[0]; i++)
            listed = listed || strcmp(code_word((enum code)code), closing[i]) == 0;
        assert_int_equal(code_closes((enum code)code), listed);
        count += listed;
    }
    assert_int_equal(count, sizeof closing / sizeof closing[0]);
}

static void have_words_of_their_own(void **state) {
    (void)state;
    assert_string_equal(code_word(CODE_NONE), "");
    for (unsigned a = CODE_NONE + 1; a < CODE_COUNT; a++) {
        assert_true(strlen(code_word((enum code)a)) > 0);
        for (unsigned b = a + 1; b < CODE_COUNT; b++)
            assert_string_not_equal(code_word((enum code)a), code_word((enum code)b));
    }
}

static void have_the_status_of_the_contract(void **state) {
    (void)state;
    static const struct {
        enum code code;
        int status;
    } wanted[] = {
        {CODE_BAD_JSON, 400},
        {CODE_BAD_MESSAGE, 400},
        {CODE_UNAUTHORIZED, 401},
        {CODE_FORBIDDEN, 403},
        {CODE_TIMEOUT, 408},
        {CODE_NOT_FOUND, 404},
        {CODE_METHOD_NOT_ALLOWED, 405},
        {CODE_ID_REUSED, 409},
        {CODE_TOO_MANY_GROUPS, 409},
        {CODE_TOO_LARGE, 413},
        {CODE_UNSUPPORTED_MEDIA_TYPE, 415},
        {CODE_RATE_LIMITED, 429},
        {CODE_OVERLOADED, 503},
        {CODE_DRAINING, 503},
        {CODE_CLUSTER_UNAVAILABLE, 503},
        {CODE_BAD_FRAME, 0},
        {CODE_STORAGE_UNAVAILABLE, 503},
        {CODE_NONE, 0},
        {CODE_HEARTBEAT_TIMEOUT, 0},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        assert_int_equal(code_status(wanted[i].code), wanted[i].status);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(end_a_session_as_the_contract_says),
        cmocka_unit_test(have_words_of_their_own),
        cmocka_unit_test(have_the_status_of_the_contract),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
