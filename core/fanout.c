#include "core/fanout.h"

#include "core/base/check.h"
#include "core/base/fault.h"
#include "core/base/shortage.h"
#include "core/delivery.h"
#include "core/server.h"

/* So many jobs are looked through for others of the same address. */
#define GATHER_LOOK_MAX 256
/* The clock is read after so many visits. */
#define VISITS_PER_LOOK 16

struct fanout_job {
    struct list link;
    struct parcel *parcel;
    struct mail request;
};

void fanout_init(struct fanout *fanout) {
    *fanout = (struct fanout){.run = 0};
    list_init(&fanout->waiting);
    pool_init(&fanout->jobs, sizeof(struct fanout_job));
}

void fanout_fini(struct fanout *fanout) {
    CHECK(fanout->count == 0, "%u messages were not delivered", fanout->count);
    pool_fini(&fanout->jobs);
}

/* --- what waits ------------------------------------------------------------------------------- */

bool fanout_reserve(struct post *post, unsigned worker, uint32_t copies, uint32_t sessions) {
    uint64_t max = FANOUT_BROADCASTS * (uint64_t)sessions;
    if (max < post->copies_max)
        max = post->copies_max;
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

static uint32_t address_count(const struct message *message) {
    return (uint32_t)message->to_count + message->group_count;
}

static void addresses_count(struct fanout *fanout, const struct message *message, uint32_t by) {
    for (uint32_t i = 0; i < address_count(message); i++)
        fanout->by_hash[message->names[i].hash % FANOUT_BUCKETS] += by;
}

bool fanout_push(struct worker *worker, struct parcel *parcel, const struct mail *request) {
    struct fanout *fanout = &worker->fanout;
    struct fanout_job *job = pool_get(&fanout->jobs);
    if (SHORTAGE(job == NULL))
        return false;
    *job = (struct fanout_job){.parcel = parcel, .request = *request};
    list_init(&job->link);
    list_add_tail(&fanout->waiting, &job->link);
    fanout->count++;
    addresses_count(fanout, parcel->message, 1);
    return true;
}

static struct fanout_job *job_of(struct list *link) {
    return container_of(link, struct fanout_job, link);
}

uint64_t fanout_late_ns(const struct fanout *fanout, uint64_t now_ns) {
    if (list_empty(&fanout->waiting))
        return 0;
    uint64_t since_ns = job_of(fanout->waiting.next)->parcel->message->accepted_ns;
    return since_ns < fanout->begun_ns[1] && since_ns < now_ns ? now_ns - since_ns : 0;
}

/* --- the run ---------------------------------------------------------------------------------- */

/* Can it be one of several in a run? */
static bool can_join(const struct message *message) {
    return address_count(message) == 1 && message->except_count == 0 &&
           message->payload_len <= FORM_COPY_BYTES_MAX;
}

static bool same_address(const struct message *a, const struct message *b) {
    return a->names[0].hash == b->names[0].hash && a->names[0].kind == b->names[0].kind &&
           span_equal(message_name_text(a, a->names), message_name_text(b, b->names));
}

static void job_take(struct fanout *fanout, struct fanout_job *job) {
    list_remove(&job->link);
    fanout->recipients[fanout->run] = 0;
    fanout->job[fanout->run++] = job;
}

/* Takes the first job and those behind it that go to the same address. */
static void run_begin(struct worker *worker) {
    struct fanout *fanout = &worker->fanout;
    struct fanout_job *first = job_of(fanout->waiting.next);
    const struct message *message = first->parcel->message;
    job_take(fanout, first);
    size_t bytes = message->payload_len;
    struct list *at = fanout->waiting.next;
    for (unsigned i = 0; can_join(message) && i < GATHER_LOOK_MAX && at != &fanout->waiting &&
                         fanout->run < SHEAF_PARTS_MAX;
         i++) {
        struct fanout_job *job = job_of(at);
        const struct message *other = job->parcel->message;
        at = at->next;
        /* One that has the address among others keeps its place before all behind it. */
        if (address_count(other) != 1)
            break;
        if (!same_address(message, other))
            continue;
        if (!can_join(other) || bytes + other->payload_len > SHEAF_BYTES_MAX)
            break;
        bytes += other->payload_len;
        job_take(fanout, job);
    }
    fanout->begun_ns[1] = fanout->begun_ns[0];
    fanout->begun_ns[0] = worker->now_ns;
    fanout->took_all = 0;
    fanout->flags = 0;
    fanout->visit = ++worker->visit;
    fanout->address = 0;
    fanout->name = NULL;
    fanout->part = 0;
    for (unsigned i = 0; i < ENCODINGS_MAX; i++) {
        fanout->sheaves[i] = NULL;
        fanout->tried[i] = false;
    }
}

static void run_end(struct worker *worker) {
    struct fanout *fanout = &worker->fanout;
    struct fanout_job jobs[SHEAF_PARTS_MAX];
    uint32_t recipients[SHEAF_PARTS_MAX], count = fanout->run;
    unsigned flags = fanout->flags;
    for (unsigned i = 0; i < ENCODINGS_MAX; i++)
        if (fanout->sheaves[i] != NULL)
            sheaf_unref(worker, fanout->sheaves[i]);
    for (uint32_t i = 0; i < count; i++) {
        jobs[i] = *fanout->job[i];
        recipients[i] = fanout->took_all + fanout->recipients[i];
        addresses_count(fanout, jobs[i].parcel->message, UINT32_MAX); /* one less */
        pool_put(&fanout->jobs, fanout->job[i]);
    }
    fanout->count -= count;
    fanout->run = 0;
    /* The answers last: what they set off may deliver again. */
    for (uint32_t i = 0; i < count; i++) {
        bool unicast = message_is_unicast(jobs[i].parcel->message);
        fanout_release(&worker->server->post, worker->index, jobs[i].request.number);
        parcel_unref(worker, jobs[i].parcel);
        hub_answer(&worker->endpoint, &jobs[i].request, recipients[i], flags, unicast);
    }
}

/* --- a session -------------------------------------------------------------------------------- */

static struct sheaf *run_sheaf(struct worker *worker, const struct encoding *encoding) {
    struct fanout *fanout = &worker->fanout;
    if (fanout->run == 1)
        return NULL;
    if (!fanout->tried[encoding->index]) {
        struct parcel *parcels[SHEAF_PARTS_MAX];
        for (uint32_t i = 0; i < fanout->run; i++)
            parcels[i] = fanout->job[i]->parcel;
        fanout->tried[encoding->index] = true;
        fanout->sheaves[encoding->index] = sheaf_open(worker, parcels, fanout->run, encoding);
    }
    return fanout->sheaves[encoding->index];
}

/* Gives the session the messages of the run. False: its own send must go first; come again. */
static bool session_visit(struct worker *worker, struct session *session) {
    struct fanout *fanout = &worker->fanout;
    if (session->visit == fanout->visit && fanout->part == 0 && !FAULT(DEDUPE_MISSED))
        return true;
    session->visit = fanout->visit;
    if (session->id != NULL && session->id->excepted)
        return true;
    struct connection *connection = session->type->connection(session);
    if (connection == NULL) {
        fanout->part = 0;
        return true;
    }
    fanout->flags |= ANSWER_FOUND;
    if (fanout->part == 0) {
        struct sheaf *sheaf = run_sheaf(worker, session->type->encoding(session));
        if (sheaf != NULL && outbox_push_sheaf(worker, connection, sheaf)) {
            fanout->took_all++;
            return true;
        }
    }
    /* One by one: each has its own fate. */
    while (fanout->part < fanout->run) {
        uint32_t i = fanout->part;
        switch (delivery_push(worker, session, connection, fanout->job[i]->parcel, LANE_BULK)) {
        case OUTBOX_TAKEN:
            fanout->recipients[i]++;
            break;
        case OUTBOX_DROPPED:
            break;
        case OUTBOX_STARVED:
            fanout->flags |= ANSWER_STARVED;
            break;
        case OUTBOX_WAIT:
            if (i == 0)
                session->visit = 0;
            connection_hurry(worker, connection);
            fanout->held = true;
            return false;
        case OUTBOX_FULL: /* the session has gone */
            fanout->part = 0;
            return true;
        }
        fanout->part++;
    }
    fanout->part = 0;
    return true;
}

/* The sessions of one name. True: the walk is over. */
static bool name_walk(struct worker *worker) {
    struct fanout *fanout = &worker->fanout;
    struct name *name = fanout->name;
    for (unsigned visits = 1; fanout->next != &name->sessions; visits++) {
        struct list *at = fanout->next;
        __builtin_prefetch(at->next->next);
        if (!session_visit(worker, name_session(name, at)))
            return false;
        /* One that was closed by this has left, and the walk with it (fanout_pass). */
        if (fanout->next == at)
            fanout->next = at->next;
        if (visits % VISITS_PER_LOOK == 0 && slice_over(worker))
            break;
    }
    return fanout->next == &name->sessions;
}

void fanout_pass(struct worker *worker, const struct list *link) {
    struct fanout *fanout = &worker->fanout;
    if (fanout->name == NULL || fanout->next != link)
        return;
    fanout->next = link->next;
    fanout->part = 0;
}

/* Goes on with the run. True: it is through. */
static bool run_walk(struct worker *worker, const struct message *message) {
    struct fanout *fanout = &worker->fanout;
    for (;;) {
        if (fanout->name != NULL) {
            if (!name_walk(worker))
                return false;
            struct name *name = fanout->name;
            fanout->name = NULL;
            name_unpin(worker, name);
        }
        if (fanout->address == address_count(message))
            return true;
        const struct message_name *address = &message->names[fanout->address++];
        fanout->name = directory_find(worker, address->kind, address->hash,
                                      message_name_text(message, address));
        if (fanout->name != NULL) {
            /* It stays as long as its sessions are walked through. */
            name_pin(fanout->name);
            fanout->next = fanout->name->sessions.next;
        }
        if (slice_over(worker))
            return fanout->name == NULL && fanout->address == address_count(message);
    }
}

/* --- the door --------------------------------------------------------------------------------- */

void fanout_work(struct worker *worker) {
    struct fanout *fanout = &worker->fanout;
    fanout->held = false;
    while (fanout_busy(fanout) && !fanout->held && !worker_copies_lag(worker)) {
        if (fanout->run == 0)
            run_begin(worker);
        const struct message *message = fanout->job[0]->parcel->message;
        delivery_except(worker, message, true);
        bool through = run_walk(worker, message);
        delivery_except(worker, message, false);
        if (through)
            run_end(worker);
        if (slice_over(worker))
            return;
    }
}
