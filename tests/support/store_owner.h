/* store_owner.h - an owner of a journal in the tests: it knows which messages are pending, and what
 * the log must show after whatever has happened to the disk.
 *
 * A record of kind OWNER_MESSAGE has the message's id and bytes that follow from it; one of kind
 * OWNER_ACK ends that message. */
#ifndef RINGPOST_TESTS_SUPPORT_STORE_OWNER_H
#define RINGPOST_TESTS_SUPPORT_STORE_OWNER_H

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "ha/store/journal.h"

#include <stdio.h>
#include <string.h>

#define OWNER_MESSAGE 1
#define OWNER_ACK 2
#define OWNER_IDS 16384
#define OWNER_BODY_MAX 4096

struct owner {
    struct journal journal;
    struct journal_options options;
    struct journal_problem problem;
    uint64_t now_ns;
    uint64_t ids;                                /* the next one */
    uint64_t added[OWNER_IDS], acked[OWNER_IDS]; /* sequences; 0: never */
    uint16_t bytes[OWNER_IDS];                   /* of the body */
    uint64_t live_bytes, live_count;
    uint64_t safe; /* the most that was ever promised */
    /* While records are shown: */
    bool there[OWNER_IDS];
    uint64_t shown, first;
    bool opened;
};

static inline struct span owner_body(uint64_t id, size_t bytes, char room[OWNER_BODY_MAX]) {
    memcpy(room, &id, sizeof(id));
    for (size_t i = sizeof(id); i < bytes; i++)
        room[i] = (char)(id * 31 + i * 7);
    return span_of(room, bytes);
}

static inline bool owner_live(const struct owner *owner, uint64_t id) {
    return owner->added[id] != 0 && owner->acked[id] == 0;
}

static inline bool owner_on_record(void *argument, const struct journal_record *record) {
    struct owner *owner = argument;
    char room[OWNER_BODY_MAX];
    uint64_t id;
    CHECK(owner->shown == 0 || record->sequence == owner->shown + 1, "%llu after %llu",
          (unsigned long long)record->sequence, (unsigned long long)owner->shown);
    if (owner->shown == 0)
        owner->first = record->sequence;
    owner->shown = record->sequence;
    CHECK(record->body.len >= sizeof(id));
    memcpy(&id, record->body.at, sizeof(id));
    CHECK(id < owner->ids);
    if (record->kind == OWNER_ACK) {
        CHECK(record->body.len == sizeof(id) && !record->again);
        CHECK(owner->acked[id] == record->sequence, "a stale acknowledgement");
        owner->there[id] = false;
        return true;
    }
    CHECK(record->kind == OWNER_MESSAGE && record->body.len == owner->bytes[id]);
    CHECK(memcmp(owner_body(id, owner->bytes[id], room).at, record->body.at, owner->bytes[id]) ==
          0);
    if (!record->again)
        CHECK(owner->added[id] == record->sequence, "message %llu is stale",
              (unsigned long long)id);
    owner->there[id] = true;
    return true;
}

static inline void owner_init(struct owner *owner, const struct journal_options *options) {
    memset(owner, 0, sizeof(*owner));
    owner->options = *options;
    owner->now_ns = clock_ns();
    log_set((enum log_level)(LOG_ERROR + 1), LOG_LOGFMT); /* tests make many failures */
}

/* Opens the journal and looks at what it shows: all that was promised, and what was written behind
 * it up to some record. */
static inline bool owner_open(struct owner *owner) {
    memset(owner->there, 0, sizeof(owner->there));
    owner->shown = 0;
    owner->opened =
        journal_open(&owner->journal, &owner->options, owner_on_record, owner, &owner->problem);
    if (!owner->opened)
        return false;
    uint64_t last = journal_added(&owner->journal);
    CHECK(owner->shown == 0 || owner->shown == last);
    CHECK(last >= owner->safe, "%llu were safe, %llu are there", (unsigned long long)owner->safe,
          (unsigned long long)last);
    owner->live_bytes = owner->live_count = 0;
    for (uint64_t id = 0; id < owner->ids; id++) {
        if (owner->added[id] > last)
            owner->added[id] = 0; /* was never promised, and is gone */
        if (owner->acked[id] > last)
            owner->acked[id] = 0;
        CHECK(owner->there[id] == owner_live(owner, id), "message %llu: %d", (unsigned long long)id,
              owner->there[id]);
        if (owner_live(owner, id)) {
            owner->live_bytes += journal_bytes(owner->bytes[id]);
            owner->live_count++;
        }
    }
    return true;
}

static inline void owner_close(struct owner *owner) {
    journal_close(&owner->journal);
}

/* False: the journal has no room for it. */
static inline bool owner_message(struct owner *owner, size_t bytes) {
    char room[OWNER_BODY_MAX];
    uint64_t id = owner->ids;
    CHECK(id < OWNER_IDS && bytes >= sizeof(id) && bytes <= OWNER_BODY_MAX);
    if (!journal_room(&owner->journal, journal_bytes(bytes), owner->live_bytes))
        return false;
    struct span whole = owner_body(id, bytes, room);
    const struct span parts[] = {span_of(whole.at, 8), span_skip(whole, 8)};
    if (!journal_add(&owner->journal, OWNER_MESSAGE, parts, 2))
        return false;
    owner->added[id] = journal_added(&owner->journal);
    owner->acked[id] = 0;
    owner->bytes[id] = (uint16_t)bytes;
    owner->live_bytes += journal_bytes(bytes);
    owner->live_count++;
    owner->ids++;
    return true;
}

/* False: not even for that. */
static inline bool owner_ack(struct owner *owner, uint64_t id) {
    const struct span part = span_of(&id, sizeof(id));
    CHECK(owner_live(owner, id));
    if (!journal_add(&owner->journal, OWNER_ACK, &part, 1))
        return false;
    owner->acked[id] = journal_added(&owner->journal);
    owner->live_bytes -= journal_bytes(owner->bytes[id]);
    owner->live_count--;
    return true;
}

static inline bool owner_survives(void *argument, const struct journal_record *record) {
    const struct owner *owner = argument;
    uint64_t id;
    memcpy(&id, record->body.at, sizeof(id));
    return record->kind == OWNER_MESSAGE && owner_live(owner, id);
}

static inline void owner_note_safe(struct owner *owner) {
    CHECK(journal_safe(&owner->journal) >= owner->safe ||
          owner->options.sync == JOURNAL_SYNC_NEVER);
    owner->safe = journal_safe(&owner->journal);
}

static inline bool owner_commit(struct owner *owner) {
    bool good = journal_commit(&owner->journal, owner->now_ns);
    owner_note_safe(owner);
    return good;
}

/* Steps until nothing is to be done, as many at most; false: there still is. */
static inline bool owner_tend(struct owner *owner, unsigned steps) {
    while (steps-- != 0) {
        if (!journal_tend(&owner->journal, owner->live_bytes, owner->now_ns, owner_survives, owner))
            return true;
        (void)owner_commit(owner);
        owner->now_ns += NS_PER_MS;
    }
    return false;
}

#endif
