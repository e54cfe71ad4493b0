#include "tests/sim/sim_fiber.h"

#include "core/base/check.h"
#include "tests/sim/sim.h"

#include <sys/mman.h>
#include <ucontext.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#define SWITCH_START(save, at, len) __sanitizer_start_switch_fiber(save, at, len)
#define SWITCH_FINISH(save, at, len) __sanitizer_finish_switch_fiber(save, at, len)
#else
#define SWITCH_START(save, at, len) ((void)(save), (void)(at), (void)(len))
#define SWITCH_FINISH(save, at, len) ((void)(save), (void)(at), (void)(len))
#endif

#define STACK_BYTES (256 * 1024)

struct fiber {
    ucontext_t registers;
    void *stack;
    void *fake_stack;
    enum fiber_state state;
    unsigned long resumes;
};

static struct fiber fibers[SIM_ENDPOINTS_MAX];
static ucontext_t outside;
static void *outside_fake_stack;
static const void *outside_stack;
static size_t outside_stack_bytes;
static void (*fiber_body)(unsigned index);
static int current = -1;

static void fiber_leave(struct fiber *fiber, enum fiber_state state) {
    fiber->state = state;
    SWITCH_START(state == FIBER_ENDED ? NULL : &fiber->fake_stack, outside_stack,
                 outside_stack_bytes);
    swapcontext(&fiber->registers, &outside);
    SWITCH_FINISH(fiber->fake_stack, &outside_stack, &outside_stack_bytes);
}

static void fiber_main(void) {
    SWITCH_FINISH(NULL, &outside_stack, &outside_stack_bytes);
    unsigned index = (unsigned)current;
    fiber_body(index);
    fiber_leave(&fibers[index], FIBER_ENDED);
}

void fibers_open(unsigned count, void (*body)(unsigned index)) {
    CHECK(count <= SIM_ENDPOINTS_MAX);
    fiber_body = body;
    for (unsigned i = 0; i < count; i++) {
        struct fiber *fiber = &fibers[i];
        if (fiber->stack == NULL) {
            fiber->stack =
                mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            CHECK(fiber->stack != MAP_FAILED);
        }
        getcontext(&fiber->registers);
        fiber->registers.uc_stack.ss_sp = fiber->stack;
        fiber->registers.uc_stack.ss_size = STACK_BYTES;
        fiber->registers.uc_link = NULL;
        makecontext(&fiber->registers, fiber_main, 0);
        fiber->state = FIBER_READY;
        fiber->resumes = 0;
    }
}

void fiber_resume(unsigned index) {
    struct fiber *fiber = &fibers[index];
    CHECK(current == -1 && fiber->state != FIBER_ENDED);
    current = (int)index;
    fiber->resumes++;
    fiber->state = FIBER_READY;
    SWITCH_START(&outside_fake_stack, fiber->stack, STACK_BYTES);
    swapcontext(&outside, &fiber->registers);
    SWITCH_FINISH(outside_fake_stack, NULL, NULL);
    current = -1;
}

void fiber_yield(enum fiber_state state) {
    CHECK(current != -1);
    fiber_leave(&fibers[current], state);
}

enum fiber_state fiber_state(unsigned index) {
    return fibers[index].state;
}

int fiber_current(void) {
    return current;
}

unsigned long fiber_resumes(unsigned index) {
    return fibers[index].resumes;
}
