#include "ha/peer/peer_wire.h"

#include "core/base/builder.h"
#include "core/base/check.h"
#include "proto/text/hex.h"
#include "proto/web/eio/engine.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#define HOST_BYTES_MAX 48

static const char magic[PEER_MAGIC_BYTES + 1] = "ringpost peer 1\n";

/* --- addresses -------------------------------------------------------------------------------- */

static bool port_read(struct span digits, in_port_t *port) {
    unsigned number = 0;
    if (digits.len == 0 || digits.len > 5)
        return false;
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.at[i] < '0' || digits.at[i] > '9')
            return false;
        number = number * 10 + (unsigned)(digits.at[i] - '0');
    }
    *port = htons((uint16_t)number);
    return number != 0 && number <= UINT16_MAX;
}

bool peer_address_read(struct span text, struct sockaddr_storage *address, socklen_t *len) {
    char host[HOST_BYTES_MAX];
    struct sockaddr_in *v4 = (struct sockaddr_in *)address;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
    bool brackets = text.len != 0 && text.at[0] == '[';
    const char *colon = memrchr(text.at, ':', text.len);
    memset(address, 0, sizeof(*address));
    if (colon == NULL)
        return false;
    struct span port = span_skip(text, (size_t)(colon - text.at) + 1);
    struct span name = span_of(text.at, (size_t)(colon - text.at));
    if (brackets) {
        if (name.len < 2 || name.at[name.len - 1] != ']')
            return false;
        name = span_of(name.at + 1, name.len - 2);
    }
    if (name.len >= sizeof(host))
        return false;
    memcpy(host, name.at, name.len);
    host[name.len] = '\0';
    if (brackets) {
        v6->sin6_family = AF_INET6;
        *len = sizeof(*v6);
        return inet_pton(AF_INET6, host, &v6->sin6_addr) == 1 && port_read(port, &v6->sin6_port) &&
               !IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr) && !IN6_IS_ADDR_MULTICAST(&v6->sin6_addr);
    }
    v4->sin_family = AF_INET;
    *len = sizeof(*v4);
    return inet_pton(AF_INET, host, &v4->sin_addr) == 1 && port_read(port, &v4->sin_port) &&
           v4->sin_addr.s_addr != htonl(INADDR_ANY) && ntohl(v4->sin_addr.s_addr) < 0xE0000000u;
}

/* --- the handshake ---------------------------------------------------------------------------- */

void peer_hello_write(const struct peer_side *side, uint8_t bytes[PEER_HELLO_BYTES]) {
    memcpy(bytes, magic, PEER_MAGIC_BYTES);
    memcpy(bytes + PEER_MAGIC_BYTES, side->run, PEER_RUN_BYTES);
    memcpy(bytes + PEER_MAGIC_BYTES + PEER_RUN_BYTES, side->nonce, PEER_NONCE_BYTES);
}

bool peer_hello_read(const uint8_t bytes[PEER_HELLO_BYTES], struct peer_side *side) {
    memcpy(side->run, bytes + PEER_MAGIC_BYTES, PEER_RUN_BYTES);
    memcpy(side->nonce, bytes + PEER_MAGIC_BYTES + PEER_RUN_BYTES, PEER_NONCE_BYTES);
    for (unsigned i = 0; i < PEER_RUN_BYTES; i++)
        if (hex_digit(side->run[i]) < 0)
            return false;
    return memcmp(bytes, magic, PEER_MAGIC_BYTES) == 0;
}

void peer_proof(const uint8_t key[PROOF_KEY_BYTES], enum peer_role role, struct span address,
                const struct peer_side *caller, const struct peer_side *called,
                uint8_t proof[PROOF_BYTES]) {
    char text[PEER_MAGIC_BYTES + 8 + 2 * sizeof(*caller) + PORT_PEER_BYTES];
    struct builder said = builder_over(text, sizeof(text));
    builder_bytes(&said, magic, PEER_MAGIC_BYTES);
    builder_text(&said, role == PEER_CALLER ? "caller  " : "called  ");
    builder_bytes(&said, caller->run, PEER_RUN_BYTES);
    builder_bytes(&said, (const char *)caller->nonce, PEER_NONCE_BYTES);
    builder_bytes(&said, called->run, PEER_RUN_BYTES);
    builder_bytes(&said, (const char *)called->nonce, PEER_NONCE_BYTES);
    builder_span_add(&said, address); /* the last, since its length differs */
    CHECK(!said.full, "an address is too long");
    proof_make(key, builder_span(&said), proof);
}

/* --- frames ----------------------------------------------------------------------------------- */

static void number_write(uint8_t *at, uint64_t number, unsigned bytes) {
    for (unsigned i = bytes; i-- > 0; number >>= 8)
        at[i] = (uint8_t)number;
}

static uint64_t number_read(const uint8_t *at, unsigned bytes) {
    uint64_t number = 0;
    for (unsigned i = 0; i < bytes; i++)
        number = number << 8 | at[i];
    return number;
}

/* Where the parts of a head are. */
enum {
    AT_LEN = 0,
    AT_TYPE = 4,
    AT_KIND = 5,
    AT_CODE = 6,
    AT_FLAGS = 7,
    AT_STATUS = 8,
    AT_PATH = 10,
    AT_ZERO = 11,
    AT_NUMBER = 12,
    AT_SID = 20
};
_Static_assert(AT_SID + SID_TEXT_BYTES == PEER_HEAD_BYTES, "the sid comes last");

static bool names_session(unsigned type) {
    return type == PEER_POLL || type == PEER_CANCEL;
}

void peer_head_write(const struct peer_head *head, uint8_t bytes[PEER_HEAD_BYTES]) {
    const struct poll_ask *ask = &head->ask;
    memset(bytes, 0, PEER_HEAD_BYTES);
    memset(bytes + AT_SID, '.', SID_TEXT_BYTES);
    number_write(bytes + AT_LEN, head->body_len, 4);
    bytes[AT_TYPE] = head->type;
    number_write(bytes + AT_NUMBER, head->number, 8);
    if (names_session(head->type))
        sid_write(&ask->sid, (char *)bytes + AT_SID);
    if (head->type == PEER_POLL) {
        bytes[AT_KIND] = ask->kind;
        bytes[AT_CODE] = ask->version;
        bytes[AT_PATH] = ask->path;
        bytes[AT_FLAGS] = (uint8_t)((ask->mismatch ? PEER_MISMATCH : 0) |
                                    (ask->bytes ? PEER_BYTES : 0) | (ask->jsonp ? PEER_JSONP : 0));
    } else if (head->type == PEER_ANSWER) {
        bytes[AT_KIND] = head->answer;
        bytes[AT_CODE] = head->code;
        number_write(bytes + AT_STATUS, head->status, 2);
    }
}

static bool poll_read(const uint8_t bytes[PEER_HEAD_BYTES], struct peer_head *head) {
    struct poll_ask *ask = &head->ask;
    ask->kind = bytes[AT_KIND];
    ask->version = bytes[AT_CODE];
    ask->path = bytes[AT_PATH];
    ask->mismatch = (bytes[AT_FLAGS] & PEER_MISMATCH) != 0;
    ask->bytes = (bytes[AT_FLAGS] & PEER_BYTES) != 0;
    ask->jsonp = (bytes[AT_FLAGS] & PEER_JSONP) != 0;
    return ask->kind <= POLL_OTHER && ask->path < ENGINE_PATHS &&
           (ask->version == 0 || ask->version == 3 || ask->version == 4) &&
           (head->body_len == 0 || ask->kind == POLL_POST);
}

static bool answer_read(const uint8_t bytes[PEER_HEAD_BYTES], struct peer_head *head) {
    head->answer = bytes[AT_KIND];
    head->code = bytes[AT_CODE];
    head->status = (uint16_t)number_read(bytes + AT_STATUS, 2);
    /* The front writes it as it is. */
    bool usual = head->status == 200 || head->status == 400 || head->status == 413 ||
                 head->status == 500 || head->status == 503;
    bool has_body = head->answer == POLL_ANSWER_TEXT || head->answer == POLL_ANSWER_BYTES;
    return head->answer <= POLL_ANSWER_STARVED && head->code <= 5 && usual &&
           has_body == (head->body_len != 0);
}

bool peer_head_read(const uint8_t bytes[PEER_HEAD_BYTES], struct peer_head *head) {
    *head = (struct peer_head){.body_len = (uint32_t)number_read(bytes + AT_LEN, 4),
                               .type = bytes[AT_TYPE],
                               .number = number_read(bytes + AT_NUMBER, 8)};
    if (head->type == PEER_NO_FRAME || head->type >= PEER_TYPES || bytes[AT_ZERO] != 0 ||
        head->body_len > PEER_BODY_BYTES_MAX || (head->type == PEER_PING) != (head->number == 0))
        return false;
    if (names_session(head->type) &&
        !sid_read(span_of((const char *)bytes + AT_SID, SID_TEXT_BYTES), &head->ask.sid))
        return false;
    if (head->type == PEER_POLL)
        return poll_read(bytes, head);
    if (head->type == PEER_ANSWER)
        return answer_read(bytes, head);
    return head->body_len == 0;
}

enum peer_step peer_read(struct peer_reader *reader, struct span *input, struct peer_head *head,
                         struct span *body) {
    if (reader->body_left != 0) {
        size_t len = input->len < reader->body_left ? input->len : reader->body_left;
        *body = span_of(input->at, len);
        *input = span_skip(*input, len);
        reader->body_left -= (uint32_t)len;
        return len == 0 ? PEER_STEP_MORE : PEER_STEP_BODY;
    }
    size_t wanted = PEER_HEAD_BYTES - reader->head_len;
    size_t len = input->len < wanted ? input->len : wanted;
    memcpy(reader->head + reader->head_len, input->at, len);
    *input = span_skip(*input, len);
    reader->head_len += (uint32_t)len;
    if (reader->head_len < PEER_HEAD_BYTES)
        return PEER_STEP_MORE;
    reader->head_len = 0;
    if (!peer_head_read(reader->head, head))
        return PEER_STEP_BAD;
    reader->body_left = head->body_len;
    return PEER_STEP_HEAD;
}
