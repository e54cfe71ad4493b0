/* entry.h - what the store on disk writes of messages and fates: the bodies of the journal's
 * records (journal.h), by kind.
 *
 *   MESSAGE  a message that is pending, with all that delivers it
 *   ADDRESS  one of its addresses is settled, others are not
 *   FATE     all are: the message is not needed any more, what became of it is
 *   VOID     its producer was told that it was not taken
 *
 * A message is known by its serial, which is not used twice in a directory. Records of one serial
 * stand in this order: MESSAGE, ADDRESS of it, then FATE or VOID; but a MESSAGE or an ADDRESS that
 * was reclaimed comes again, before the last of them. Numbers are little-endian:
 *
 *   MESSAGE  serial u64, accepted u64, expires u64 (ms by the wall clock), content u64 u64,
 *            recipients u32, payload u32, event u16, count u16, bytes u8 (0 or 1), namespace u8,
 *            scope u8, id u8, then count lengths u8, then the texts: scope, id, client ids, event,
 *            payload
 *   ADDRESS  serial u64, address u16, word u8 (fate_word_of), scope u8, id u8; scope, id
 *   FATE     serial u64, accepted u64, content u64 u64, recipients u32, took u32 (ms), count u16,
 *            scope u8, id u8, then for each address length u8, word u8; scope, id, client ids
 *   VOID     serial u64
 *
 * Reading checks lengths, numbers and texts, so that what is read can be delivered, whoever wrote
 * it. Pure functions; threads: any. */
#ifndef RINGPOST_HA_STORE_ENTRY_H
#define RINGPOST_HA_STORE_ENTRY_H

#include "core/fates.h"

struct message;

enum entry_kind { ENTRY_MESSAGE = 1, ENTRY_ADDRESS, ENTRY_FATE, ENTRY_VOID, ENTRY_KINDS };

#define ENTRY_PARTS_MAX 8
#define ENTRY_SERIAL_MAX ((UINT64_C(1) << 48) - 1)
/* Of what precedes the texts. */
#define ENTRY_FIXED_MAX (64 + 2 * ADDRESSES_PER_MESSAGE_MAX)

/* A body that is to be written: parts that lie where they are, and a room for the rest. */
struct entry_out {
    struct span parts[ENTRY_PARTS_MAX];
    unsigned count;
    size_t bytes; /* of all parts */
    char fixed[ENTRY_FIXED_MAX];
};

/* Of a body, at most; `max_message_bytes` is --max-message. */
uint32_t entry_bytes_max(uint32_t max_message_bytes);

/* `out` holds as long as what it was made of. The message has its serial and its fate. */
void entry_message_write(const struct message *message, uint32_t recipients, struct entry_out *out);
void entry_address_write(const struct fate *fate, uint32_t address, unsigned word,
                         struct entry_out *out);
/* All addresses are noted (fates_note). */
void entry_fate_write(const struct fate *fate, uint32_t took_ms, struct entry_out *out);
void entry_void_write(uint64_t serial, struct entry_out *out);

/* Bytes of the bodies that end a message with that fate: of one address, of the whole. */
size_t entry_address_bytes(const struct fate *fate);
size_t entry_fate_bytes(const struct fate *fate);

/* What a body says; spans are within it. */
struct entry_in {
    uint64_t serial;
    uint64_t accepted_ms, expires_ms;
    struct hash128 content;
    uint32_t recipients;
    uint32_t took_ms;
    uint16_t address;
    uint8_t word; /* of an ADDRESS */
    bool is_bytes;
    uint8_t namespace;
    struct span scope, id, event, payload;
    uint32_t breaks_grow; /* by entry_payload_read */
    uint16_t count;
    struct span to[ADDRESSES_PER_MESSAGE_MAX];
    uint8_t words[ADDRESSES_PER_MESSAGE_MAX]; /* of a FATE */
};

/* NULL, or what is wrong with it. The payload of a MESSAGE is not looked into. */
const char *entry_read(unsigned kind, struct span body, struct entry_in *in);
/* The payload of a MESSAGE; NULL, or what is wrong with it. */
const char *entry_payload_read(struct entry_in *in);

#endif
