/* test_resolve.c - names within a deadline; whoever listens on all addresses is met on loopback. */
#include <netdb.h>
#include <unistd.h>

/* A resolver that takes its time for names, as one does whose server is silent. */
static int slow_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                            struct addrinfo **addresses) {
    if (host != NULL && (hints->ai_flags & AI_NUMERICHOST) == 0) {
        usleep(300000);
        host = "127.0.0.7";
    }
    return getaddrinfo(host, port, hints, addresses);
}

#define getaddrinfo slow_getaddrinfo
#include "main/cli/resolve.c"
#undef getaddrinfo

#include "core/base/clock.h"
#include "tests/support/cmocka_first.h"

#include <arpa/inet.h>
#include <netinet/in.h>

/* The addresses as text, "127.0.0.1 ::1". */
static const char *found(const char *host, uint64_t deadline_ns, int stop_fd,
                         enum dial_end wanted) {
    static char text[256];
    char why[DIAL_WHY_MAX] = "";
    struct addrinfo *addresses;
    text[0] = '\0';
    assert_int_equal(resolve(span_text(host), 7, deadline_ns, stop_fd, &addresses, why), wanted);
    if (wanted != DIAL_READY) {
        snprintf(text, sizeof(text), "%s", why);
        return text;
    }
    for (struct addrinfo *at = addresses; at != NULL; at = at->ai_next) {
        char one[NI_MAXHOST], port[NI_MAXSERV];
        assert_int_equal(getnameinfo(at->ai_addr, at->ai_addrlen, one, sizeof(one), port,
                                     sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV),
                         0);
        assert_string_equal(port, "7");
        size_t len = strlen(text);
        snprintf(text + len, sizeof(text) - len, "%s%.60s", len == 0 ? "" : " ", one);
    }
    freeaddrinfo(addresses);
    return text;
}

static void test_literals(void **state) {
    (void)state;
    assert_string_equal(found("192.0.2.1", 0, -1, DIAL_READY), "192.0.2.1");
    assert_string_equal(found("2001:db8::1", 0, -1, DIAL_READY), "2001:db8::1");
    assert_string_equal(found("", 0, -1, DIAL_READY), "127.0.0.1");
    assert_string_equal(found("0.0.0.0", 0, -1, DIAL_READY), "127.0.0.1");
    const char *all = found("::", 0, -1, DIAL_READY);
    assert_non_null(strstr(all, "::1"));
    assert_non_null(strstr(all, "127.0.0.1"));
}

static void test_names(void **state) {
    (void)state;
    uint64_t began_ns = clock_ns();
    assert_non_null(strstr(found("slow.example", began_ns + 20 * NS_PER_MS, -1, DIAL_TIMEOUT),
                           "does not answer in time"));
    int stop_fd = eventfd(1, EFD_CLOEXEC);
    assert_non_null(strstr(found("slow.example", CLOCK_NEVER, stop_fd, DIAL_STOPPED), "stopped"));
    close(stop_fd);
    assert_true(clock_ns() - began_ns < 300 * NS_PER_MS);
    assert_string_equal(found("slow.example", CLOCK_NEVER, -1, DIAL_READY), "127.0.0.7");
    usleep(200000); /* the threads that nobody waits for let go of what they hold */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_literals),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
