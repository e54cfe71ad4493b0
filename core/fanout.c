#include "core/fanout.h"

#include "core/base/check.h"
#include "core/base/fault.h"
#include "core/base/shortage.h"
#include "core/delivery.h"
#include "core/server.h"
#include "core/worker.h"

/* So many jobs of a queue are looked through for others of the same address. */
#define GATHER_LOOK_MAX 256
/* The clock is read after so many visits. */
#define VISITS_PER_LOOK 16

/* What waits for one address, by its hash: two names with one hash share it. */
struct queue_of_address {
    struct list link; /* in fanout->buckets[] */
    uint64_t hash;
    struct list entries; /* never empty */
};

/* The place of a job in the queue of one of its addresses. */
struct entry {
    struct list link;
    struct fanout_job *job;
    struct queue_of_address *queue;
};

struct fanout_job {
    struct list link; /* in fanout->ready or ready_wide; in none while it is blocked or in a run */
    struct parcel *parcel;
    struct mail request;
    struct entry one;      /* of the only address */
    struct entry *entries; /* &one, or an array of its own for several addresses */
    uint32_t entry_count;
    uint32_t blocked; /* entries that are not the first of their queue */
    bool runs;
};

void fanout_init(struct fanout *fanout) {
    *fanout = (struct fanout){.count = 0};
    for (unsigned i = 0; i < FANOUT_BUCKETS; i++)
        list_init(&fanout->buckets[i]);
    list_init(&fanout->ready);
    list_init(&fanout->ready_wide);
    list_init(&fanout->runs);
    pool_init(&fanout->jobs, sizeof(struct fanout_job));
    pool_init(&fanout->queues, sizeof(struct queue_of_address));
    pool_init(&fanout->run_pool, sizeof(struct fanout_run));
}

void fanout_fini(struct fanout *fanout) {
    CHECK(fanout->count == 0, "%u messages were not delivered", fanout->count);
    pool_fini(&fanout->jobs);
    pool_fini(&fanout->queues);
    pool_fini(&fanout->run_pool);
}

/* --- what waits ------------------------------------------------------------------------------- */

bool fanout_reserve(struct post *post, unsigned worker, uint32_t copies, uint32_t sessions,
                    bool light) {
    uint64_t max = FANOUT_BROADCASTS * (uint64_t)sessions;
    if (max < post->copies_max)
        max = post->copies_max;
    if (light)
        max += max / FANOUT_COPIES_LIGHT_PART;
    uint32_t before =
        atomic_fetch_add_explicit(&post->boxes[worker].copies, copies, memory_order_relaxed);
    if (before != 0 && SHORTAGE(before + (uint64_t)copies > max)) {
        fanout_release(post, worker, copies);
        return false;
    }
    return true;
}

void fanout_release(struct post *post, unsigned worker, uint32_t copies) {
    if (copies != 0)
        atomic_fetch_sub_explicit(&post->boxes[worker].copies, copies, memory_order_relaxed);
}

static struct fanout_job *job_of(struct list *link) {
    return container_of(link, struct fanout_job, link);
}

static struct entry *entry_of(struct list *link) {
    return container_of(link, struct entry, link);
}

static void job_ready(struct fanout *fanout, struct fanout_job *job) {
    bool wide = message_address_count(job->parcel->message) > 1;
    list_add_tail(wide ? &fanout->ready_wide : &fanout->ready, &job->link);
}

static size_t entries_bytes(const struct fanout_job *job) {
    return message_address_count(job->parcel->message) * sizeof(struct entry);
}

/* Room for the entries of all addresses. False: no memory. */
static bool entries_get(struct worker *worker, struct fanout_job *job) {
    job->entries = &job->one;
    if (message_address_count(job->parcel->message) > 1)
        job->entries = memory_get(&worker->account, entries_bytes(job));
    return !SHORTAGE(job->entries == NULL);
}

static void job_put(struct worker *worker, struct fanout_job *job) {
    if (job->entries != NULL && job->entries != &job->one)
        memory_put(&worker->account, job->entries, entries_bytes(job));
    pool_put(&worker->fanout.jobs, job);
}

static struct queue_of_address *queue_find(const struct fanout *fanout, uint64_t hash) {
    const struct list *bucket = &fanout->buckets[hash % FANOUT_BUCKETS];
    for (struct list *at = bucket->next; at != bucket; at = at->next) {
        struct queue_of_address *queue = container_of(at, struct queue_of_address, link);
        if (queue->hash == hash)
            return queue;
    }
    return NULL;
}

bool fanout_has(const struct fanout *fanout, uint64_t hash) {
    return queue_find(fanout, hash) != NULL;
}

/* NULL: no memory. */
static struct queue_of_address *queue_make(struct worker *worker, uint64_t hash) {
    struct fanout *fanout = &worker->fanout;
    if (SHORTAGE(!account_take(&worker->account, sizeof(struct queue_of_address))))
        return NULL;
    struct queue_of_address *queue = pool_get(&fanout->queues);
    if (SHORTAGE(queue == NULL)) {
        account_give(&worker->account, sizeof(*queue));
        return NULL;
    }
    queue->hash = hash;
    list_init(&queue->link);
    list_init(&queue->entries);
    list_add_tail(&fanout->buckets[hash % FANOUT_BUCKETS], &queue->link);
    return queue;
}

/* Leaves one queue. Returns the job that is the first there now and was not before; NULL: none. */
static struct fanout_job *entry_leave(struct worker *worker, struct entry *entry) {
    struct queue_of_address *queue = entry->queue;
    bool was_first = queue->entries.next == &entry->link;
    list_remove(&entry->link);
    if (!list_empty(&queue->entries))
        return was_first ? entry_of(queue->entries.next)->job : NULL;
    list_remove(&queue->link);
    pool_put(&worker->fanout.queues, queue);
    account_give(&worker->account, sizeof(*queue));
    return NULL;
}

/* Takes its place behind those that wait for any of its addresses. False: no memory. */
static bool job_enter(struct worker *worker, struct fanout_job *job) {
    struct fanout *fanout = &worker->fanout;
    const struct message *message = job->parcel->message;
    for (uint32_t i = 0; i < message_address_count(message); i++) {
        uint64_t hash = message->names[i].hash;
        struct queue_of_address *queue = queue_find(fanout, hash);
        bool first = queue == NULL;
        if (first && SHORTAGE((queue = queue_make(worker, hash)) == NULL)) {
            while (job->entry_count != 0) /* nobody is behind it yet */
                entry_leave(worker, &job->entries[--job->entry_count]);
            return false;
        }
        /* Two of its names have one hash. */
        if (!first && entry_of(queue->entries.prev)->job == job)
            continue;
        struct entry *entry = &job->entries[job->entry_count++];
        *entry = (struct entry){.job = job, .queue = queue};
        list_init(&entry->link);
        list_add_tail(&queue->entries, &entry->link);
        job->blocked += !first;
    }
    if (job->blocked == 0)
        job_ready(fanout, job);
    return true;
}

/* Those behind it may be the first now. */
static void job_leave(struct worker *worker, struct fanout_job *job) {
    for (uint32_t i = 0; i < job->entry_count; i++) {
        struct fanout_job *next = entry_leave(worker, &job->entries[i]);
        if (next != NULL && --next->blocked == 0 && !next->runs)
            job_ready(&worker->fanout, next);
    }
}

bool fanout_push(struct worker *worker, struct parcel *parcel, const struct mail *request) {
    struct fanout *fanout = &worker->fanout;
    struct fanout_job *job = pool_get(&fanout->jobs);
    if (SHORTAGE(job == NULL))
        return false;
    *job = (struct fanout_job){.parcel = parcel, .request = *request};
    list_init(&job->link);
    if (SHORTAGE(!entries_get(worker, job)) || SHORTAGE(!job_enter(worker, job))) {
        job_put(worker, job);
        return false;
    }
    fanout->count++;
    fanout->idle = false;
    return true;
}

/* The job that has been ready for the longest; NULL: none is. */
static const struct fanout_job *first_ready(const struct fanout *fanout) {
    const struct fanout_job *first = NULL;
    if (!list_empty(&fanout->ready))
        first = job_of(fanout->ready.next);
    if (list_empty(&fanout->ready_wide))
        return first;
    const struct fanout_job *wide = job_of(fanout->ready_wide.next);
    return first == NULL || wide->parcel->message->accepted_ns < first->parcel->message->accepted_ns
               ? wide
               : first;
}

uint64_t fanout_late_ns(const struct fanout *fanout, uint64_t now_ns) {
    const struct fanout_job *first = first_ready(fanout);
    if (first == NULL)
        return 0;
    uint64_t since_ns = first->parcel->message->accepted_ns;
    return since_ns < fanout->begun_ns[1] && since_ns < now_ns ? now_ns - since_ns : 0;
}

/* --- the run ---------------------------------------------------------------------------------- */

/* Can it be one of several in a run? */
static bool can_join(const struct message *message) {
    return message_address_count(message) == 1 && message->except_count == 0 &&
           message->payload_len <= FRAME_COPY_BYTES_MAX;
}

static bool same_address(const struct message *a, const struct message *b) {
    return a->namespace == b->namespace && a->names[0].hash == b->names[0].hash &&
           a->names[0].kind == b->names[0].kind &&
           span_equal(message_name_text(a, a->names), message_name_text(b, b->names));
}

static void job_take(struct fanout_run *run, struct fanout_job *job) {
    list_remove(&job->link);
    job->runs = true;
    run->job[run->count++] = job;
}

/* Those behind the first job that go to the same address. */
static void run_gather(struct fanout_run *run) {
    const struct message *message = run->job[0]->parcel->message;
    if (!can_join(message))
        return;
    size_t bytes = message->payload_len;
    const struct list *entries = &run->job[0]->one.queue->entries;
    struct list *at = run->job[0]->one.link.next;
    for (unsigned i = 0; i < GATHER_LOOK_MAX && at != entries && run->count < FRAME_BATCH_PARTS_MAX;
         i++) {
        struct fanout_job *job = entry_of(at)->job;
        const struct message *other = job->parcel->message;
        at = at->next;
        /* One that has the address among others, or another of that hash, keeps its place before
         * all behind it. */
        if (message_address_count(other) != 1 || !same_address(message, other))
            return;
        if (!can_join(other) || bytes + other->payload_len > FRAME_BATCH_BYTES_MAX)
            return;
        bytes += other->payload_len;
        job_take(run, job);
    }
}

/* Which list the next job is to be taken from; NULL: none that is ready may begin. */
static struct list *ready_next(struct fanout *fanout) {
    const struct fanout_job *first = first_ready(fanout);
    if (first == NULL)
        return NULL;
    bool wide = first->entries != &first->one;
    if (!wide)
        return &fanout->ready;
    if (!fanout->wide_under_way)
        return &fanout->ready_wide;
    return list_empty(&fanout->ready) ? NULL : &fanout->ready;
}

/* NULL: nothing is ready, as many are under way as may, or there is no memory. */
static struct fanout_run *run_begin(struct worker *worker) {
    struct fanout *fanout = &worker->fanout;
    struct list *ready = ready_next(fanout);
    fanout->idle = ready == NULL || fanout->run_count == FANOUT_RUNS_MAX;
    if (fanout->idle)
        return NULL;
    struct fanout_run *run = pool_get(&fanout->run_pool);
    if (SHORTAGE(run == NULL))
        return NULL;
    memset(run, 0, sizeof(*run));
    list_init(&run->link);
    list_add_tail(&fanout->runs, &run->link);
    fanout->run_count++;
    run->wide = ready == &fanout->ready_wide;
    fanout->wide_under_way |= run->wide;
    run->visit = ++fanout->visits;
    job_take(run, job_of(ready->next));
    run_gather(run);
    fanout->begun_ns[1] = fanout->begun_ns[0];
    fanout->begun_ns[0] = worker->now_ns;
    return run;
}

static void run_end(struct worker *worker, struct fanout_run *done) {
    struct fanout *fanout = &worker->fanout;
    struct fanout_run run = *done;
    struct parcel *parcels[FRAME_BATCH_PARTS_MAX];
    struct mail requests[FRAME_BATCH_PARTS_MAX];
    for (unsigned i = 0; i < ENCODINGS_MAX; i++)
        if (run.batches[i] != NULL)
            frame_batch_unref(worker, run.batches[i]);
    for (uint32_t i = 0; i < run.count; i++) {
        parcels[i] = run.job[i]->parcel;
        requests[i] = run.job[i]->request;
        job_leave(worker, run.job[i]);
        job_put(worker, run.job[i]);
    }
    if (run.wide)
        fanout->wide_under_way = false;
    fanout->count -= run.count;
    fanout->run_count--;
    list_remove(&done->link);
    pool_put(&fanout->run_pool, done);
    /* The answers last: what they set off may deliver again. */
    for (uint32_t i = 0; i < run.count; i++) {
        bool unicast = message_is_unicast(parcels[i]->message);
        fanout_release(&worker->server->post, worker->index, requests[i].number);
        parcel_unref(worker, parcels[i]);
        hub_answer(&worker->endpoint, &requests[i], run.took_all + run.recipients[i], run.flags,
                   unicast);
    }
}

/* --- a session -------------------------------------------------------------------------------- */

static struct frame_batch *run_batch(struct worker *worker, struct fanout_run *run,
                                     const struct encoding *encoding) {
    if (run->count == 1)
        return NULL;
    if (!run->tried[encoding->index]) {
        struct parcel *parcels[FRAME_BATCH_PARTS_MAX];
        for (uint32_t i = 0; i < run->count; i++)
            parcels[i] = run->job[i]->parcel;
        run->tried[encoding->index] = true;
        run->batches[encoding->index] = frame_batch_open(worker, parcels, run->count, encoding);
    }
    return run->batches[encoding->index];
}

/* Has a job with several addresses visited the session before? */
static bool is_repeat(const struct fanout_run *run, struct session *session) {
    if (!run->wide)
        return false;
    if (session->visit == run->visit && !FAULT(DEDUPE_MISSED))
        return true;
    session->visit = run->visit;
    return false;
}

/* Gives the session the messages of the run. False: its own send must go first; come again. */
static bool session_visit(struct worker *worker, struct fanout_run *run, struct session *session) {
    if (is_repeat(run, session) || delivery_leaves_out(worker, session))
        return true;
    struct outbox *outbox = session->type->outbox(session);
    if (outbox == NULL) {
        run->part = 0;
        return true;
    }
    run->flags |= ANSWER_FOUND;
    if (run->part == 0) {
        struct frame_batch *batch = run_batch(worker, run, session->type->encoding(session));
        if (batch != NULL && outbox_push_batch(worker, outbox, session, batch)) {
            trail_note_batch(worker, session, batch);
            run->took_all++;
            return true;
        }
    }
    /* One by one: each has its own fate. */
    while (run->part < run->count) {
        uint32_t i = run->part;
        switch (delivery_push(worker, session, outbox, run->job[i]->parcel, LANE_BULK)) {
        case OUTBOX_TAKEN:
            run->recipients[i]++;
            break;
        case OUTBOX_DROPPED:
            break;
        case OUTBOX_STARVED:
            run->flags |= ANSWER_STARVED;
            break;
        case OUTBOX_WAIT:
            if (run->wide)
                session->visit = 0;
            outbox_hurry(worker, outbox);
            run->held = true;
            run->held_ns = worker->now_ns;
            return false;
        case OUTBOX_FULL: /* the session has gone */
            run->part = 0;
            return true;
        }
        run->part++;
    }
    run->part = 0;
    return true;
}

static struct list *link_behind(const struct fanout_run *run, const struct list *link) {
    return link == run->last ? NULL : link->next;
}

/* The sessions of one name. True: the walk is over. */
static bool name_walk(struct worker *worker, struct fanout_run *run) {
    const struct name *name = run->name;
    for (unsigned visits = 1; run->next != NULL; visits++) {
        struct list *at = run->next;
        __builtin_prefetch(at->next->next);
        if (!session_visit(worker, run, name_session(name, at)))
            return false;
        /* One that was closed by this has left, and the walk with it (fanout_pass); all that waited
         * for it was dropped, which takes its time. */
        bool closed = run->next != at;
        if (!closed)
            run->next = link_behind(run, at);
        if (worker_copies_wait(worker) ||
            ((closed || visits % VISITS_PER_LOOK == 0) && slice_over(worker)))
            break;
    }
    return run->next == NULL;
}

void fanout_pass(struct worker *worker, const struct list *link) {
    struct fanout *fanout = &worker->fanout;
    for (struct list *at = fanout->runs.next; at != &fanout->runs; at = at->next) {
        struct fanout_run *run = container_of(at, struct fanout_run, link);
        if (run->name == NULL)
            continue;
        if (run->next == link) {
            run->next = link_behind(run, link);
            run->part = 0;
        } else if (run->last == link && run->next != NULL) {
            run->last = link->prev;
        }
    }
}

/* Goes on with the run. True: it is through. */
static bool run_walk(struct worker *worker, struct fanout_run *run, const struct message *message) {
    for (;;) {
        if (run->name != NULL) {
            if (!name_walk(worker, run))
                return false;
            struct name *name = run->name;
            run->name = NULL;
            name_unpin(worker, name);
        }
        if (run->address == message_address_count(message))
            return true;
        const struct message_name *address = &message->names[run->address++];
        run->name = directory_find(worker, address->kind, message->namespace, address->hash,
                                   message_name_text(message, address));
        if (run->name != NULL) {
            /* It stays as long as its sessions are walked through. */
            name_pin(run->name);
            bool nobody = list_empty(&run->name->sessions);
            run->next = nobody ? NULL : run->name->sessions.next;
            run->last = run->name->sessions.prev;
        }
        if (slice_over(worker))
            return run->name == NULL && run->address == message_address_count(message);
    }
}

/* --- the door --------------------------------------------------------------------------------- */

static void run_go_on(struct worker *worker, struct fanout_run *run) {
    const struct message *message = run->job[0]->parcel->message;
    run->held = false;
    delivery_except(worker, message, true);
    bool through = run_walk(worker, run, message);
    delivery_except(worker, message, false);
    if (through)
        run_end(worker, run);
}

void fanout_work(struct worker *worker) {
    struct fanout *fanout = &worker->fanout;
    fanout->idle = false;
    /* Those under way first; each once, since one that is held stays so until its send ends. */
    for (uint32_t left = fanout->run_count; left != 0 && !worker_copies_wait(worker); left--) {
        struct fanout_run *run = container_of(list_pop(&fanout->runs), struct fanout_run, link);
        list_add_tail(&fanout->runs, &run->link);
        if (run->held && fanout->run_count > FANOUT_RUNS_FEW &&
            worker->now_ns < run->held_ns + FANOUT_HELD_AGAIN_NS)
            continue;
        run_go_on(worker, run);
        if (slice_over(worker))
            return;
    }
    struct fanout_run *run;
    while (!worker_copies_wait(worker) && (run = run_begin(worker)) != NULL) {
        run_go_on(worker, run);
        if (slice_over(worker))
            return;
    }
}

/* The addresses whose first job waits for a session, and has done so for too long. */
static bool held_late_find(const struct worker *worker, uint64_t late[HELD_LATE_WORDS]) {
    const struct fanout *fanout = &worker->fanout;
    bool any = false;
    for (const struct list *at = fanout->runs.next; at != &fanout->runs; at = at->next) {
        const struct fanout_run *run = container_of(at, struct fanout_run, link);
        const struct message *message = run->job[0]->parcel->message;
        if (!run->held || worker->now_ns < message->accepted_ns + worker->delivery.held_late_ns)
            continue;
        any = true;
        for (uint32_t i = 0; i < message_address_count(message); i++) {
            uint64_t place = message->names[i].hash % HELD_LATE_PLACES;
            late[place / 64] |= UINT64_C(1) << place % 64;
        }
    }
    return any;
}

void fanout_held_tell(struct worker *worker) {
    struct mailbox *box = &worker->server->post.boxes[worker->index];
    bool told = atomic_load_explicit(&box->any_held_late, memory_order_relaxed);
    if (!told && list_empty(&worker->fanout.runs))
        return;
    uint64_t late[HELD_LATE_WORDS] = {0};
    bool any = held_late_find(worker, late);
    if (!any && !told)
        return;
    for (unsigned i = 0; i < HELD_LATE_WORDS; i++)
        atomic_store_explicit(&box->held_late[i], late[i], memory_order_relaxed);
    atomic_store_explicit(&box->any_held_late, any, memory_order_relaxed);
}
