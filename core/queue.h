/* queue.h - the one door to Concurrency Kit: a bounded ring of mails, one producer, one consumer.
 *
 * A ring of 2^k slots holds 2^k - 1 mails. ck's single-producer ring needs no atomic
 * read-modify-write on x86. ThreadSanitizer does not understand ck's fences, so builds with
 * RINGPOST_TSAN use a twin on C11 atomics with the same meaning.
 *
 * Threads: push: the producer; pop: the consumer; room: the producer (a lower bound, the consumer
 * may have made more). Owns: the slots. */
#ifndef RINGPOST_CORE_QUEUE_H
#define RINGPOST_CORE_QUEUE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#ifdef RINGPOST_TSAN
#include <stdatomic.h>
#else
#include <ck_ring.h>
#endif

/* One mail; what the members mean depends on the kind (mailbox.h). */
struct mail {
    uint8_t kind;
    uint8_t flag;
    uint16_t from; /* worker that sent it, or asked */
    uint32_t number;
    uint64_t token;
    void *object; /* or a number: mail_value */
};

/* A number in the place of an object. (In a union with it a static analyser would not see that an
 * object is passed on.) */
static inline void *mail_object(uint64_t value) {
    return (void *)(uintptr_t)value;
}
static inline uint64_t mail_value(const struct mail *mail) {
    return (uintptr_t)mail->object;
}
_Static_assert(sizeof(void *) == sizeof(uint64_t), "a pointer has room for a number");

#ifdef RINGPOST_TSAN

struct queue {
    _Alignas(64) _Atomic uint32_t head; /* next to be taken */
    _Alignas(64) _Atomic uint32_t tail; /* next to be filled */
    uint32_t mask;
    struct mail *slots;
};

static inline bool queue_push(struct queue *queue, const struct mail *mail) {
    uint32_t tail = atomic_load_explicit(&queue->tail, memory_order_relaxed);
    uint32_t head = atomic_load_explicit(&queue->head, memory_order_acquire);
    if (((tail + 1) & queue->mask) == (head & queue->mask))
        return false;
    queue->slots[tail & queue->mask] = *mail;
    atomic_store_explicit(&queue->tail, tail + 1, memory_order_release);
    return true;
}

static inline bool queue_pop(struct queue *queue, struct mail *mail) {
    uint32_t head = atomic_load_explicit(&queue->head, memory_order_relaxed);
    uint32_t tail = atomic_load_explicit(&queue->tail, memory_order_acquire);
    if (head == tail)
        return false;
    *mail = queue->slots[head & queue->mask];
    atomic_store_explicit(&queue->head, head + 1, memory_order_release);
    return true;
}

static inline uint32_t queue_count(const struct queue *queue) {
    return atomic_load_explicit(&queue->tail, memory_order_acquire) -
           atomic_load_explicit(&queue->head, memory_order_acquire);
}

#else

CK_RING_PROTOTYPE(mail, mail)

struct queue {
    _Alignas(64) struct ck_ring ring;
    uint32_t mask;
    struct mail *slots;
};

static inline bool queue_push(struct queue *queue, const struct mail *mail) {
    struct mail copy = *mail; /* ck takes no pointer to const */
    return CK_RING_ENQUEUE_SPSC(mail, &queue->ring, queue->slots, &copy);
}

static inline bool queue_pop(struct queue *queue, struct mail *mail) {
    return CK_RING_DEQUEUE_SPSC(mail, &queue->ring, queue->slots, mail);
}

static inline uint32_t queue_count(const struct queue *queue) {
    return ck_ring_size(&queue->ring);
}

#endif

/* `slots` is a power of two. False: no memory. */
static inline bool queue_init(struct queue *queue, uint32_t slots) {
    *queue = (struct queue){0};
    queue->mask = slots - 1;
    queue->slots = calloc(slots, sizeof(struct mail));
#ifndef RINGPOST_TSAN
    ck_ring_init(&queue->ring, slots);
#endif
    return queue->slots != NULL;
}

static inline void queue_fini(struct queue *queue) {
    free(queue->slots);
}

/* Mails that still fit. */
static inline uint32_t queue_room(const struct queue *queue) {
    return queue->mask - queue_count(queue);
}

#endif
