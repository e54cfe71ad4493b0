/* The form of the store's files. */
#include "ha/store/segment.h"

#include "core/base/check.h"
#include "ha/store/checksum.h"

#include <endian.h>
#include <inttypes.h>
#include <stdio.h>

#define CRC_BYTES 4 /* in front of what it is made over */
#define FLAG_AGAIN 1
#define SECOND_AT (SEGMENT_HEADER_BYTES / 2)

static const char segment_magic[8] = "RPSTORE";
static const char meta_magic[8] = "RPMETA\0";

/* As they stand in the files. */
struct segment_form {
    char magic[8];
    uint32_t version, checksum;
    struct store_identity identity;
    uint64_t number, epoch, first, salt, bytes;
};

struct record_form {
    uint32_t checksum, body_bytes;
    uint64_t sequence;
    uint32_t unsynced; /* so many records before it and with it were not known to be synced */
    uint8_t kind, flags;
    uint8_t zeros[2];
};

struct meta_form {
    char magic[8];
    uint32_t version, checksum;
    struct store_identity identity;
    uint64_t generation, epoch, oldest, synced;
};

_Static_assert(sizeof(struct segment_form) == 72, "no padding");
_Static_assert(sizeof(struct record_form) == RECORD_HEAD_BYTES, "no padding");
_Static_assert(sizeof(struct meta_form) == 64, "no padding");

void segment_header_write(struct segment_header *header, void *out) {
    struct segment_form form = {.version = htole32(STORE_VERSION),
                                .identity = header->identity,
                                .number = htole64(header->number),
                                .epoch = htole64(header->epoch),
                                .first = htole64(header->first),
                                .salt = htole64(header->salt),
                                .bytes = htole64(header->bytes)};
    memcpy(form.magic, segment_magic, sizeof(form.magic));
    header->checksum = checksum(0, &form, sizeof(form));
    form.checksum = htole32(header->checksum);
    memset(out, 0, SEGMENT_HEADER_BYTES);
    memcpy(out, &form, sizeof(form));
    memcpy((char *)out + SECOND_AT, &form, sizeof(form));
}

enum store_form segment_header_read(struct span bytes, struct segment_header *header,
                                    uint32_t *version) {
    struct segment_form form;
    if (bytes.len < sizeof(form))
        return FORM_NONE;
    memcpy(&form, bytes.at, sizeof(form));
    if (memcmp(form.magic, segment_magic, sizeof(form.magic)) != 0)
        return FORM_NONE;
    *version = le32toh(form.version);
    uint32_t stands = le32toh(form.checksum);
    form.checksum = 0;
    if (*version != STORE_VERSION)
        return FORM_VERSION;
    if (checksum(0, &form, sizeof(form)) != stands)
        return FORM_NONE;
    *header = (struct segment_header){.identity = form.identity,
                                      .number = le64toh(form.number),
                                      .epoch = le64toh(form.epoch),
                                      .first = le64toh(form.first),
                                      .salt = le64toh(form.salt),
                                      .bytes = le64toh(form.bytes),
                                      .checksum = stands};
    if (header->first == 0 || header->bytes < SEGMENT_HEADER_BYTES ||
        header->bytes > SEGMENT_BYTES_MAX || header->bytes % 8 != 0)
        return FORM_NONE;
    return FORM_GOOD;
}

bool segment_header_second(struct span bytes, struct segment_header *header) {
    uint32_t version;
    return bytes.len >= SEGMENT_HEADER_BYTES &&
           segment_header_read(span_skip(bytes, SECOND_AT), header, &version) == FORM_GOOD;
}

void record_head_write(const struct record_head *head, void *out) {
    const struct record_form form = {.body_bytes = htole32(head->body_bytes),
                                     .sequence = htole64(head->sequence),
                                     .kind = head->kind,
                                     .flags = head->again ? FLAG_AGAIN : 0};
    memcpy(out, &form, sizeof(form));
}

static uint32_t record_checksum(const char *record, uint32_t body_bytes, uint32_t seed) {
    return checksum(seed, record + CRC_BYTES, record_bytes(body_bytes) - CRC_BYTES);
}

void record_seal(void *record, uint64_t synced, uint32_t seed) {
    struct record_form form;
    memcpy(&form, record, sizeof(form));
    uint64_t unsynced = le64toh(form.sequence) - synced;
    CHECK(unsynced != 0 && unsynced <= UINT32_MAX);
    form.unsynced = htole32((uint32_t)unsynced);
    memcpy(record, &form, sizeof(form));
    form.checksum = htole32(record_checksum(record, le32toh(form.body_bytes), seed));
    memcpy(record, &form.checksum, sizeof(form.checksum));
}

uint32_t record_body_bytes(const void *record) {
    struct record_form form;
    memcpy(&form, record, sizeof(form));
    return le32toh(form.body_bytes);
}

bool record_head_read(struct span bytes, struct record_head *head) {
    struct record_form form;
    if (bytes.len < sizeof(form))
        return false;
    memcpy(&form, bytes.at, sizeof(form));
    uint64_t sequence = le64toh(form.sequence), unsynced = le32toh(form.unsynced);
    *head = (struct record_head){.sequence = sequence,
                                 .synced = sequence - unsynced,
                                 .body_bytes = le32toh(form.body_bytes),
                                 .kind = form.kind,
                                 .again = (form.flags & FLAG_AGAIN) != 0};
    return sequence != 0 && unsynced != 0 && unsynced <= sequence &&
           head->body_bytes <= RECORD_BODY_MAX && record_bytes(head->body_bytes) <= bytes.len;
}

bool record_read(struct span bytes, uint32_t seed, struct record_head *head) {
    uint32_t stands;
    if (!record_head_read(bytes, head))
        return false;
    memcpy(&stands, bytes.at, sizeof(stands));
    return record_checksum(bytes.at, head->body_bytes, seed) == le32toh(stands);
}

void meta_write(const struct store_meta *meta, void *out) {
    struct meta_form form = {.version = htole32(STORE_VERSION),
                             .identity = meta->identity,
                             .generation = htole64(meta->generation),
                             .epoch = htole64(meta->epoch),
                             .oldest = htole64(meta->oldest),
                             .synced = htole64(meta->synced)};
    memcpy(form.magic, meta_magic, sizeof(form.magic));
    form.checksum = htole32(checksum(0, &form, sizeof(form)));
    memset(out, 0, META_SLOT_BYTES);
    memcpy(out, &form, sizeof(form));
}

enum store_form meta_read(struct span slot, struct store_meta *meta, uint32_t *version) {
    struct meta_form form;
    if (slot.len < META_SLOT_BYTES)
        return FORM_NONE;
    memcpy(&form, slot.at, sizeof(form));
    if (memcmp(form.magic, meta_magic, sizeof(form.magic)) != 0)
        return FORM_NONE;
    *version = le32toh(form.version);
    uint32_t stands = le32toh(form.checksum);
    form.checksum = 0;
    if (*version != STORE_VERSION)
        return FORM_VERSION;
    if (checksum(0, &form, sizeof(form)) != stands)
        return FORM_NONE;
    *meta = (struct store_meta){.identity = form.identity,
                                .generation = le64toh(form.generation),
                                .epoch = le64toh(form.epoch),
                                .oldest = le64toh(form.oldest),
                                .synced = le64toh(form.synced)};
    return FORM_GOOD;
}

static const char *const endings[] = {
    [FILE_SEGMENT] = ".segment", [FILE_SPARE] = ".spare", [FILE_NEW] = ".new"};

/* Numbers count from 1. What others may have put there leaves room for those that follow. */
static const uint64_t number_max[] = {
    [FILE_SEGMENT] = INT64_MAX, [FILE_SPARE] = INT64_MAX / 2, [FILE_NEW] = INT64_MAX / 2};

enum store_file store_name_read(const char *name, uint64_t *number) {
    *number = 0;
    for (int i = 0; i < 16; i++) {
        char c = name[i];
        bool digit = c >= '0' && c <= '9';
        if (!digit && !(c >= 'a' && c <= 'f'))
            return FILE_OTHER;
        *number = *number << 4 | (unsigned)(digit ? c - '0' : c - 'a' + 10);
    }
    for (int file = 0; file < FILE_OTHER; file++)
        if (strcmp(name + 16, endings[file]) == 0)
            return *number > number_max[file] ? FILE_STRANGE : (enum store_file)file;
    return FILE_OTHER;
}

void store_name_write(char name[STORE_NAME_BYTES], enum store_file file, uint64_t number) {
    snprintf(name, STORE_NAME_BYTES, "%016" PRIx64 "%s", number, endings[file]);
}
