/* Any store on a disk: headers, records and meta with whatever numbers, valid or not. A start and a
 * check agree on it; a start comes twice to the same; what is refused can be repaired, and what was
 * repaired can be opened and written.
 *
 * The input is a list of changes to a store of three segments: a byte that says what, then its
 * numbers. */
#include "ha/store/journal_check.h"

#include "tests/fakes/fake_disk.c"
#include "tests/support/store_owner.h"

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len);

#define SEGMENTS 3
#define SEGMENT (UINT64_C(64) << 10)
#define INPUT_MAX 4096

static const struct journal_options options = {
    .directory = "store", .record_max = 512, .segment_bytes = SEGMENT, .slack_bytes = SEGMENT};

struct input {
    const uint8_t *at;
    size_t len;
};

static uint64_t take(struct input *input, unsigned bytes) {
    uint64_t value = 0;
    for (; bytes != 0 && input->len != 0; bytes--, input->at++, input->len--)
        value = value << 8 | *input->at;
    return value;
}

/* The files as they will be. */
static struct {
    char segments[SEGMENTS][SEGMENT];
    struct segment_header headers[SEGMENTS];
    uint64_t ends[SEGMENTS], sequences[SEGMENTS];
    struct store_meta meta;
} store;

static void record_put(unsigned segment, uint8_t kind, size_t body_bytes, int64_t jump,
                       uint64_t unsynced, bool sealed) {
    uint64_t at = store.ends[segment], bytes = record_bytes(body_bytes);
    if (bytes > SEGMENT - at)
        return;
    uint64_t sequence = store.sequences[segment] + (uint64_t)jump;
    const struct record_head head = {
        .kind = kind, .sequence = sequence, .body_bytes = (uint32_t)body_bytes};
    char *record = store.segments[segment] + at;
    memset(record, 0, bytes);
    record_head_write(&head, record);
    if (unsynced == 0)
        unsynced = 1;
    if (sealed)
        record_seal(record, sequence - unsynced, store.headers[segment].checksum);
    store.ends[segment] += bytes;
    store.sequences[segment] = sequence + 1;
}

static void store_begin(void) {
    memset(&store, 0, sizeof store);
    memcpy(store.meta.identity.bytes, "the store's name", 16);
    store.meta.oldest = 1;
    store.meta.generation = 1;
    uint64_t first = 1;
    for (unsigned i = 0; i < SEGMENTS; i++) {
        store.headers[i] = (struct segment_header){.identity = store.meta.identity,
                                                   .number = i + 1,
                                                   .first = first,
                                                   .salt = i,
                                                   .bytes = SEGMENT};
        segment_header_write(&store.headers[i], store.segments[i]);
        store.ends[i] = SEGMENT_HEADER_BYTES;
        store.sequences[i] = first;
        for (unsigned n = 0; n < 4; n++)
            record_put(i, (uint8_t)n, n * 20, 0, 1, true);
        first += 4;
    }
}

static void header_change(unsigned segment, struct input *input) {
    struct segment_header *header = &store.headers[segment];
    switch (take(input, 1) % 4) {
    case 0:
        header->first = take(input, 8);
        break;
    case 1:
        header->number = take(input, 2);
        break;
    case 2:
        header->epoch = take(input, 1);
        break;
    default:
        header->bytes = take(input, 8);
        break;
    }
    segment_header_write(header, store.segments[segment]);
}

static void meta_change(struct input *input) {
    switch (take(input, 1) % 3) {
    case 0:
        store.meta.oldest = take(input, 1);
        break;
    case 1:
        store.meta.epoch = take(input, 1);
        break;
    default:
        store.meta.synced = take(input, 8);
        break;
    }
}

static void change(struct input *input) {
    uint8_t what = (uint8_t)take(input, 1);
    unsigned segment = what / 8 % SEGMENTS;
    char *bytes = store.segments[segment];
    switch (what % 8) {
    case 0:
    case 1:
    case 2: { /* a record, whole or not */
        uint8_t kind = (uint8_t)take(input, 1);
        size_t body_bytes = (size_t)take(input, 1);
        int64_t jump = (int8_t)take(input, 1);
        record_put(segment, kind, body_bytes, jump, take(input, 1), what % 8 != 2);
        break;
    }
    case 3: { /* bytes anywhere in it */
        uint64_t offset = take(input, 2) % SEGMENT;
        bytes[offset] = (char)take(input, 1);
        break;
    }
    case 4: { /* bytes among its records */
        uint64_t offset = SEGMENT_HEADER_BYTES + take(input, 1);
        bytes[offset] ^= (char)take(input, 1);
        break;
    }
    case 5:
        header_change(segment, input);
        break;
    case 6:
        meta_change(input);
        break;
    default: /* the next record begins elsewhere, with another number */
        store.ends[segment] = SEGMENT_HEADER_BYTES + take(input, 2) % 1024 * 8;
        store.sequences[segment] = take(input, 2);
        break;
    }
}

static void files_put(void) {
    char name[STORE_NAME_BYTES], meta[META_SLOTS * SEGMENT_HEADER_BYTES] = {0};
    fake_disk_reset(1, UINT64_C(1) << 30);
    for (unsigned i = 0; i < SEGMENTS; i++) {
        store_name_write(name, FILE_SEGMENT, i + 1);
        fake_disk_put(name, store.segments[i], SEGMENT);
    }
    meta_write(&store.meta, meta);
    fake_disk_put(STORE_META, meta, sizeof meta);
}

static void say(void *argument, const char *line) {
    (void)argument;
    CHECK(line[0] != '\0' && strchr(line, '\n') == NULL);
}

/* What was shown, as one number. */
struct shown {
    uint64_t records, last, sum;
};

static bool on_record(void *argument, const struct journal_record *record) {
    struct shown *shown = argument;
    CHECK(shown->records == 0 || record->sequence == shown->last + 1);
    shown->records++;
    shown->last = record->sequence;
    shown->sum = shown->sum * 31 + record->body.len * 256 + record->kind;
    return true;
}

static bool survives(void *argument, const struct journal_record *record) {
    (void)argument;
    return record->kind % 2 == 0;
}

static bool open_look(struct shown *shown) {
    struct journal journal;
    struct journal_problem problem;
    *shown = (struct shown){.records = 0};
    if (!journal_open(&journal, &options, on_record, shown, &problem)) {
        CHECK(problem.text[0] != '\0');
        return false;
    }
    CHECK(shown->records == 0 || journal_added(&journal) == shown->last);
    journal_close(&journal);
    return true;
}

/* Written, reclaimed and opened again. */
static void store_use(void) {
    struct journal journal;
    struct journal_problem problem;
    struct shown shown = {.records = 0};
    char body[512] = {0};
    const struct span part = span_of(body, sizeof body);
    CHECK(journal_open(&journal, &options, on_record, &shown, &problem), "%s", problem.text);
    for (unsigned i = 0; i < 300; i++) {
        CHECK(journal_add(&journal, (uint8_t)(i % 3), &part, 1));
        CHECK(i % 100 != 0 || journal_commit(&journal, clock_ns()));
    }
    CHECK(journal_commit(&journal, clock_ns()));
    for (unsigned i = 0; i < 50; i++) {
        (void)journal_tend(&journal, 0, clock_ns(), survives, NULL);
        CHECK(journal_commit(&journal, clock_ns()));
    }
    journal_close(&journal);
    CHECK(open_look(&shown));
}

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len) {
    struct input input = {at, len < INPUT_MAX ? len : INPUT_MAX};
    struct shown first, second;
    struct journal_problem problem;
    log_set((enum log_level)(LOG_ERROR + 1), LOG_LOGFMT);
    store_begin();
    while (input.len != 0)
        change(&input);
    files_put();
    enum journal_verdict verdict = journal_check("store", say, NULL, &problem);
    bool opened = open_look(&first);
    CHECK(opened == (verdict == JOURNAL_SOUND), "opened %d, checked %d", opened, verdict);
    if (opened) {
        CHECK(open_look(&second));
        CHECK(first.records == second.records && first.sum == second.sum);
    } else if (journal_repair("store", say, NULL, &problem) != JOURNAL_SOUND) {
        CHECK(verdict == JOURNAL_UNKNOWN);
        return 0;
    }
    CHECK(journal_check("store", say, NULL, &problem) == JOURNAL_SOUND);
    store_use();
    return 0;
}
