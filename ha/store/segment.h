/* segment.h - the form of what stands in the store's files: segments, their records, the meta file.
 *
 *   NNNNNNNNNNNNNNNN.segment (hexadecimal)
 *   +--------------------+----------------------+--------+--------+-----
 *   | header, 4096 bytes | head, body, 0..7 x 0 | record | record | zeros, or what stood there
 * before
 *   +--------------------+----------------------+--------+--------+-----
 *
 * Numbers are little-endian. A record's head is RECORD_HEAD_BYTES; records begin at multiples of 8
 * and never go on in the next segment. The checksum of a record begins with that of its segment's
 * header, in which there is a random number, so a record is valid in that use of that file only.
 *
 * store.meta has two slots of one sector, written in turns; the valid one of the higher generation
 * counts.
 *
 * Pure functions over bytes. Threads: any. */
#ifndef RINGPOST_HA_STORE_SEGMENT_H
#define RINGPOST_HA_STORE_SEGMENT_H

#include "core/base/span.h"

#define STORE_VERSION 1
#define STORE_META "store.meta"
#define STORE_META_NEW "store.meta.new"
#define STORE_LOCK "store.lock"
#define SEGMENT_HEADER_BYTES 4096
#define SEGMENT_BYTES_MAX (UINT64_C(16) << 30)
#define RECORD_HEAD_BYTES 24
#define RECORD_BODY_MAX (UINT32_C(1) << 30)
#define META_SLOTS 2
#define META_SLOT_BYTES 512

struct store_identity {
    unsigned char bytes[16];
};

struct segment_header {
    struct store_identity identity; /* of the directory that it belongs to */
    uint64_t number;
    uint64_t epoch;    /* repairs that this directory had when it was begun */
    uint64_t first;    /* sequence of its first record; what is before it had been synced */
    uint64_t salt;     /* drawn when it was begun */
    uint64_t bytes;    /* of the file */
    uint32_t checksum; /* of all this, from which those of its records begin */
};

struct record_head {
    uint64_t sequence;
    uint64_t synced; /* when it was written, everything up to this sequence had been synced */
    uint32_t body_bytes;
    uint8_t kind;
    bool again; /* copied while its first segment was reclaimed */
};

struct store_meta {
    struct store_identity identity;
    uint64_t generation;
    uint64_t epoch;
    uint64_t oldest; /* number of the oldest segment that counts; 0: none was begun yet */
    uint64_t synced; /* everything up to this sequence had been synced */
};

enum store_form {
    FORM_GOOD,
    FORM_NONE,   /* no such thing, or damaged */
    FORM_VERSION /* of another version of ringpost's store */
};

/* Sets `header->checksum`; `out` has SEGMENT_HEADER_BYTES. It stands there twice, so that one bad
 * sector does not take all records with it. */
void segment_header_write(struct segment_header *header, void *out);
/* The first of them. `version` is set unless it is FORM_NONE. */
enum store_form segment_header_read(struct span bytes, struct segment_header *header,
                                    uint32_t *version);
/* The second one, for a repair. */
bool segment_header_second(struct span bytes, struct segment_header *header);

/* What a record takes in a segment. */
static inline uint64_t record_bytes(uint64_t body_bytes) {
    return RECORD_HEAD_BYTES + ((body_bytes + 7) & ~UINT64_C(7));
}
/* Writes all of a head but its checksum, which record_seal adds when the body and its padding of
 * zeros stand behind it. `head->synced` is less than `head->sequence`, by less than 2^32. */
void record_head_write(const struct record_head *head, void *out);
void record_seal(void *record, uint64_t synced, uint32_t seed);
/* Reads the head of the record that `bytes` begins with, without its checksum. False: that can be
 * none, since it would not fit, or such a one is never written. */
bool record_head_read(struct span bytes, struct record_head *head);
/* The same with its checksum. */
bool record_read(struct span bytes, uint32_t seed, struct record_head *head);
/* Of a record that is known to stand there. */
uint32_t record_body_bytes(const void *record);

void meta_write(const struct store_meta *meta, void *out); /* META_SLOT_BYTES */
enum store_form meta_read(struct span slot, struct store_meta *meta, uint32_t *version);

#define STORE_NAME_BYTES 40
/* Which of the store's files a name is, and its number. */
enum store_file {
    FILE_SEGMENT, /* records */
    FILE_SPARE,   /* ready to be a segment */
    FILE_NEW,     /* becomes a spare when it is written */
    FILE_OTHER,
    FILE_STRANGE /* named like one of these, with a number that ringpost does not come to */
};
enum store_file store_name_read(const char *name, uint64_t *number);
void store_name_write(char name[STORE_NAME_BYTES], enum store_file file, uint64_t number);

#endif
