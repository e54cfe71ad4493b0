/* http_refusal.h - why a peer is refused by the HTTP codec, in the words of the answer.
 *
 * A value. The texts are constants. Threads: any. */
#ifndef RINGPOST_PROTO_HTTP_HTTP_REFUSAL_H
#define RINGPOST_PROTO_HTTP_HTTP_REFUSAL_H

#include "core/base/span.h"

struct http_refusal {
    uint16_t status;     /* 400, 413, 417, 431, 505; 0: not refused */
    const char *code;    /* of the contract: "bad_message" or "too_large" */
    const char *message; /* what is wrong */
    size_t offset;       /* where: bytes of the request as it was sent */
};

/* Fills it in; returns false, so that a check may end with it. */
static inline bool http_refuse(struct http_refusal *refusal, unsigned status, const char *message,
                               size_t offset) {
    bool large = status == 413 || status == 431;
    refusal->status = (uint16_t)status;
    refusal->code = large ? "too_large" : "bad_message";
    refusal->message = message;
    refusal->offset = offset;
    return false;
}

#endif
