#include "tests/sim/sim_coverage.h"

#include "core/base/check.h"
#include "core/mailbox.h"
#include "core/tag.h"
#include "tests/sim/sim_kernel.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define ERRNO_MAX 140

struct coverage {
    _Atomic uint64_t ops[KERNEL_OPS];
    _Atomic uint64_t errors[KERNEL_OPS][ERRNO_MAX];
    _Atomic uint64_t closed[CLOSE_REASON_COUNT];
    _Atomic uint64_t refused[REFUSE_REASON_COUNT];
    _Atomic uint64_t dropped[DROP_REASON_COUNT];
    _Atomic uint64_t mails[MAIL_KIND_COUNT];
    _Atomic uint64_t results[RESULT_COUNT];
    _Atomic uint64_t runs;
#define COVERAGE_MEMBER(member, name, help) _Atomic uint64_t member;
    STATS_COUNTERS(COVERAGE_MEMBER)
#undef COVERAGE_MEMBER
};

static struct coverage *coverage;

void coverage_open(void) {
    coverage =
        mmap(NULL, sizeof(*coverage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(coverage != MAP_FAILED);
}

void coverage_op(enum kernel_op op) {
    atomic_fetch_add_explicit(&coverage->ops[op], 1, memory_order_relaxed);
}

void coverage_error(enum kernel_op op, int error) {
    CHECK(error > 0 && error < ERRNO_MAX);
    atomic_fetch_add_explicit(&coverage->errors[op][error], 1, memory_order_relaxed);
}

static void merge(_Atomic uint64_t *into, const _Atomic uint64_t *from, size_t count) {
    for (size_t i = 0; i < count; i++)
        atomic_fetch_add_explicit(&into[i], stats_get(&from[i]), memory_order_relaxed);
}

void coverage_stats(const struct stats *total) {
    atomic_fetch_add(&coverage->runs, 1);
    merge(coverage->closed, total->closed, CLOSE_REASON_COUNT);
    merge(coverage->refused, total->refused, REFUSE_REASON_COUNT);
    merge(coverage->mails, total->mails, MAIL_KIND_COUNT);
    for (unsigned class = 0; class < CLASSES; class ++)
        merge(coverage->dropped, total->copies_dropped[class], DROP_REASON_COUNT);
    for (unsigned class = 0; class < RESULT_CLASSES; class ++)
        merge(coverage->results, total->results[class], RESULT_COUNT);
#define COVERAGE_MERGE(member, name, help) merge(&coverage->member, &total->member, 1);
    STATS_COUNTERS(COVERAGE_MERGE)
#undef COVERAGE_MERGE
}

/* What cannot be reached here, and why. */
static const struct {
    const char *point, *why;
} exempt[] = {
    {"close none", "no reason at all; it must never be counted"},
    {"close unauthorized", "clients need no token in this version"},
    {"close stopped", "only when the API's last answers outlast the end of the drain"},
    {"counter lingers_cut", "takes 64 MiB, or a minute of one peer; test_http_connection does it"},
    {"refuse memory", "the simulation's malloc never fails"},
};

static bool is_exempt(const char *point) {
    for (size_t i = 0; i < sizeof(exempt) / sizeof(exempt[0]); i++)
        if (strcmp(point, exempt[i].point) == 0)
            return true;
    return false;
}

static unsigned point_print(const char *kind, const char *name, const _Atomic uint64_t *count) {
    char point[96];
    snprintf(point, sizeof(point), "%s %s", kind, name);
    uint64_t reached = stats_get(count);
    bool missing = reached == 0 && !is_exempt(point);
    printf("  %-44s %12llu%s\n", point, (unsigned long long)reached,
           missing        ? "  NOT REACHED"
           : reached == 0 ? "  (exempt)"
                          : "");
    return missing;
}

/* What the fake kernel may answer; each must have been met. */
static const struct {
    enum kernel_op op;
    int error;
} errors[] = {
    {KERNEL_ACCEPT, EMFILE},      {KERNEL_ACCEPT, ENFILE},       {KERNEL_ACCEPT, ENOBUFS},
    {KERNEL_ACCEPT, ENOMEM},      {KERNEL_ACCEPT, ECONNABORTED}, {KERNEL_ACCEPT, EINTR},
    {KERNEL_ACCEPT, ECANCELED},   {KERNEL_RECEIVE, ENOBUFS},     {KERNEL_RECEIVE, ECANCELED},
    {KERNEL_RECEIVE, ECONNRESET}, {KERNEL_RECEIVE, ETIMEDOUT},   {KERNEL_RECEIVE, EHOSTUNREACH},
    {KERNEL_RECEIVE, EINTR},      {KERNEL_RECEIVE, EAGAIN},      {KERNEL_SEND, EPIPE},
    {KERNEL_SEND, ECONNRESET},    {KERNEL_SEND, ETIMEDOUT},      {KERNEL_SEND, EHOSTUNREACH},
    {KERNEL_SEND, ENOMEM},        {KERNEL_SEND, ENOBUFS},        {KERNEL_SEND, EINTR},
    {KERNEL_SEND, EAGAIN},        {KERNEL_SEND, ECANCELED},      {KERNEL_LEND, EMFILE},
    {KERNEL_SHUTDOWN, ENOTCONN},  {KERNEL_CLOSE, EIO},           {KERNEL_CANCEL, ENOENT},
    {KERNEL_CANCEL, EALREADY},
};

unsigned coverage_print(void) {
    unsigned missing = 0;
    printf("coverage of %llu runs:\n", (unsigned long long)stats_get(&coverage->runs));
    for (unsigned i = 0; i < KERNEL_OPS; i++)
        missing += point_print("op", kernel_op_name((enum kernel_op)i), &coverage->ops[i]);
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        char name[64];
        snprintf(name, sizeof(name), "%s -%s", kernel_op_name(errors[i].op),
                 strerrorname_np(errors[i].error));
        missing += point_print("error", name, &coverage->errors[errors[i].op][errors[i].error]);
    }
#define MAIL_PRINT(name) missing += point_print("mail", #name, &coverage->mails[MAIL_##name]);
    MAIL_KINDS(MAIL_PRINT)
#undef MAIL_PRINT
    for (unsigned i = 0; i < CLOSE_REASON_COUNT; i++)
        missing += point_print("close", i == 0 ? "none" : close_reason_word((enum close_reason)i),
                               &coverage->closed[i]);
    for (unsigned i = 0; i < REFUSE_REASON_COUNT; i++)
        missing +=
            point_print("refuse", refuse_reason_word((enum refuse_reason)i), &coverage->refused[i]);
    for (unsigned i = 0; i < DROP_REASON_COUNT; i++)
        missing +=
            point_print("drop", drop_reason_word((enum drop_reason)i), &coverage->dropped[i]);
    for (unsigned i = 0; i < RESULT_COUNT; i++)
        missing += point_print("result", result_text((enum result_word)i), &coverage->results[i]);
#define COUNTER_PRINT(member, name, help)                                                          \
    missing += point_print("counter", #member, &coverage->member);
    STATS_COUNTERS(COUNTER_PRINT)
#undef COUNTER_PRINT
    for (size_t i = 0; i < sizeof(exempt) / sizeof(exempt[0]); i++)
        printf("  exempt: %-36s %s\n", exempt[i].point, exempt[i].why);
    return missing;
}
