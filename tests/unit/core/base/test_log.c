#include "core/base/log.c"

#include "tests/support/cmocka_first.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

/* Time stands still unless a test moves it. */
static _Atomic uint64_t now_ns = 5 * NS_PER_S;

uint64_t clock_ns(void) {
    return now_ns;
}

uint64_t clock_wall_ms(void) {
    return now_ns / NS_PER_MS;
}

uint64_t clock_thread_cpu_ns(void) {
    return 0;
}

/* Standard error goes into a pipe while a test runs. */
static int reading = -1, stderr_before = -1;
static char *heard;
static size_t heard_len;
#define HEARD_MAX (4u * 1024 * 1024)

static int capture(void **state) {
    (void)state;
    int ends[2];
    heard = malloc(HEARD_MAX);
    heard_len = 0;
    if (heard == NULL || pipe(ends) != 0)
        return -1;
    stderr_before = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    reading = ends[0];
    fcntl(reading, F_SETFL, O_NONBLOCK);
    now_ns += NS_PER_S;
    log_set(LOG_INFO, LOG_LOGFMT);
    return 0;
}

static int release(void **state) {
    (void)state;
    log_stop();
    dup2(stderr_before, STDERR_FILENO);
    close(stderr_before);
    close(reading);
    free(heard);
    return 0;
}

/* Takes what is there; at the end of `heard` stands a NUL. */
static void hear(void) {
    ssize_t got;
    while ((got = read(reading, heard + heard_len, HEARD_MAX - 1 - heard_len)) > 0)
        heard_len += (size_t)got;
    heard[heard_len] = '\0';
}

/* Slow over much text: strstr is checked by sanitizers. */
static size_t count_of(const char *word) {
    size_t count = 0;
    for (const char *at = heard; (at = strstr(at, word)) != NULL; at++)
        count++;
    return count;
}

static void test_direct_before_start(void **state) {
    (void)state;
    log_event(LOG_WARN, "early", LOG_U64("n", 1));
    hear();
    assert_int_equal(count_of("level=warn event=early n=1\n"), 1);
    log_event(LOG_INFO, "no_fields");
    hear();
    assert_int_equal(count_of("event=no_fields\n"), 1);
}

static void test_levels_and_formats(void **state) {
    (void)state;
    assert_false(log_wants(LOG_DEBUG));
    assert_true(log_wants(LOG_INFO));
    log_event(LOG_DEBUG, "hidden");
    log_set(LOG_ERROR, LOG_JSON);
    log_event(LOG_WARN, "hidden");
    log_event(LOG_ERROR, "shown");
    log_set(LOG_DEBUG, LOG_LOGFMT);
    log_event(LOG_DEBUG, "shown");
    hear();
    assert_int_equal(count_of("hidden"), 0);
    assert_int_equal(count_of("\"level\":\"error\",\"event\":\"shown\"}\n"), 1);
    assert_int_equal(count_of("level=debug event=shown\n"), 1);
}

static void test_a_site_is_limited(void **state) {
    (void)state;
    for (int turn = 0; turn < 3; turn++) {
        for (int i = 0; i < 25; i++)
            log_event(LOG_INFO, "storm");
        log_event(LOG_INFO, "other_site");
        now_ns += NS_PER_S;
    }
    hear();
    assert_int_equal(count_of("event=storm"), 3 * LOG_SITE_BURST + 3);
    assert_int_equal(count_of("level=info event=storm suppressed=15\n"), 3);
    assert_int_equal(count_of("event=other_site\n"), 3);
}

/* What a site left out is told though it never speaks again. */
static void test_suppressed_lines_are_told(void **state) {
    (void)state;
    static const char word[] = "level=warn event=squall suppressed=";
    assert_true(log_start());
    for (int i = 0; i < LOG_SITE_BURST + 32; i++)
        log_event(LOG_WARN, "squall", LOG_U64("n", 7));
    uint64_t told = 0;
    for (int i = 0; i < 50000 && told < 32; i++) {
        hear();
        told = 0;
        for (const char *at = heard; (at = strstr(at, word)) != NULL; at++)
            told += strtoull(at + sizeof(word) - 1, NULL, 10);
        usleep(100);
    }
    assert_int_equal(told, 32);
    assert_int_equal(count_of("event=squall n=7\n"), LOG_SITE_BURST);
    /* At the end what is left is told at once. */
    for (int i = 0; i < 3; i++)
        log_event(LOG_WARN, "squall");
    now_ns += NS_PER_S;
    for (int i = 0; i < LOG_SITE_BURST + 3; i++)
        log_event(LOG_WARN, "gust");
    log_stop();
    hear();
    assert_int_equal(count_of("event=gust\n"), LOG_SITE_BURST);
    assert_non_null(strstr(heard, "event=gust suppressed="));
}

static void test_the_thread_writes_all(void **state) {
    (void)state;
    assert_true(log_start());
    for (unsigned i = 0; i < 500; i++) {
        now_ns += NS_PER_S;
        log_event(LOG_INFO, "line", LOG_U64("n", i));
        hear();
    }
    log_stop();
    hear();
    assert_int_equal(log_dropped(), 0);
    const char *at = heard;
    for (unsigned i = 0; i < 500; i++) { /* in order, each once */
        char wanted[32];
        snprintf(wanted, sizeof(wanted), "event=line n=%u\n", i);
        at = strstr(at, wanted);
        assert_non_null(at);
        at += strlen(wanted);
    }
    assert_int_equal(count_of("event=line"), 500);
    log_event(LOG_INFO, "late"); /* directly again */
    hear();
    assert_int_equal(count_of("event=late\n"), 1);
    log_stop();
}

#define THREADS 4
#define LINES_EACH 300

static void *shout(void *number) {
    for (unsigned i = 0; i < LINES_EACH; i++) {
        struct log_site site = {0};
        const struct log_field fields[] = {LOG_U64("who", *(unsigned *)number), LOG_U64("n", i)};
        log_write(&site, LOG_INFO, "shout", fields, 2);
    }
    return NULL;
}

static void test_many_threads(void **state) {
    (void)state;
    pthread_t threads[THREADS];
    unsigned numbers[THREADS];
    assert_true(log_start());
    for (unsigned i = 0; i < THREADS; i++) {
        numbers[i] = i;
        assert_int_equal(pthread_create(&threads[i], NULL, shout, &numbers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < 5000 && lines_in(heard, heard_len) < THREADS * LINES_EACH; i++) {
        hear();
        usleep(100);
    }
    log_stop();
    hear();
    assert_int_equal(count_of("event=shout who="), THREADS * LINES_EACH);
    assert_int_equal(lines_in(heard, heard_len), THREADS * LINES_EACH);
}

/* What all reports of dropped lines say together. */
static uint64_t drops_told(unsigned *reports) {
    static const char word[] = "event=log_lines_dropped lines=";
    uint64_t told = 0;
    *reports = 0;
    for (const char *at = heard; (at = strstr(at, word)) != NULL;) {
        at += sizeof(word) - 1;
        told += strtoull(at, NULL, 10);
        ++*reports;
    }
    return told;
}

/* Nobody reads: callers go on, what has no room is counted, and the log says so later. */
static void test_full_never_waits(void **state) {
    (void)state;
    char value[256];
    memset(value, 'v', sizeof(value));
    uint64_t before = log_dropped();
    assert_true(log_start());
    unsigned calls = 0;
    while (calls < 5000) {
        struct log_site site = {0};
        /* All lengths, so that some line ends just at the end of the buffer. */
        const struct log_field field = LOG_SPAN("v", span_of(value, calls % sizeof(value)));
        log_write(&site, LOG_INFO, "flood", &field, 1);
        pthread_mutex_lock(&mutex);
        assert_true(filling_len <= LOG_BUFFER_BYTES);
        pthread_mutex_unlock(&mutex);
        calls++;
    }
    uint64_t lost = log_dropped() - before;
    assert_true(lost > 0);
    assert_true(lost < calls);
    uint64_t told = 0;
    unsigned reports = 0;
    for (int i = 0; i < 5000 && told < lost; i++) {
        hear();
        if (lines_in(heard, heard_len) > calls - lost)
            told = drops_told(&reports);
        usleep(100);
    }
    assert_int_equal(told, lost);
    log_stop();
    hear();
    assert_int_equal(lines_in(heard, heard_len), calls - lost + reports);
}

static void test_stop_gives_up(void **state) {
    (void)state;
    char value[256];
    memset(value, 'v', sizeof(value));
    uint64_t before = log_dropped();
    assert_true(log_start());
    for (unsigned i = 0; i < 800; i++) {
        struct log_site site = {0};
        const struct log_field field = LOG_SPAN("v", span_of(value, sizeof(value)));
        log_write(&site, LOG_INFO, "unheard", &field, 1);
    }
    log_stop(); /* returns, though the pipe is full and nobody reads */
    assert_true(log_dropped() > before);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_direct_before_start, capture, release),
        cmocka_unit_test_setup_teardown(test_levels_and_formats, capture, release),
        cmocka_unit_test_setup_teardown(test_a_site_is_limited, capture, release),
        cmocka_unit_test_setup_teardown(test_suppressed_lines_are_told, capture, release),
        cmocka_unit_test_setup_teardown(test_the_thread_writes_all, capture, release),
        cmocka_unit_test_setup_teardown(test_many_threads, capture, release),
        cmocka_unit_test_setup_teardown(test_full_never_waits, capture, release),
        cmocka_unit_test_setup_teardown(test_stop_gives_up, capture, release),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
