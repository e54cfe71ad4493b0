#include "core/base/rand.h"

#include "core/base/check.h"

#include <pthread.h>
#include <sodium.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void start(void) {
    CHECK(sodium_init() >= 0, "libsodium finds no source of randomness");
}

void rand_fill(void *at, size_t len) {
    pthread_once(&once, start);
    randombytes_buf(at, len);
}

uint64_t rand_u64(void) {
    uint64_t value;
    rand_fill(&value, sizeof(value));
    return value;
}

uint64_t rand_below(uint64_t bound) {
    CHECK(bound != 0);
    /* The first 2^64 mod bound values would come up once too often. */
    uint64_t unfair = (0 - bound) % bound;
    uint64_t value;
    do
        value = rand_u64();
    while (value < unfair);
    return value % bound;
}
