/* codes.h - the error codes of the contract, in one closed list: to add one, add a line here.
 *
 * Columns: name, the word on the wire, whether a client session ends with it (an error line, then
 * the end; before `welcome` every code ends it), the HTTP status (0: never an HTTP answer), what it
 * means. One exception is the caller's: a payload of counted framing that is not JSON is told as
 * `bad_json` and the stream goes on, because its end is known.
 *
 * Threads: any (constants). */
#ifndef RINGPOST_PROTO_TEXT_CODES_H
#define RINGPOST_PROTO_TEXT_CODES_H

#include <stdbool.h>

#define CODES(X)                                                                                   \
    X(BAD_JSON, "bad_json", true, 400, "not JSON; the text says where")                            \
    X(BAD_FRAME, "bad_frame", true, 0, "the counted framing is broken")                            \
    X(BAD_MESSAGE, "bad_message", false, 400, "JSON, but not what is asked for here")              \
    X(HELLO_REQUIRED, "hello_required", true, 0, "something came before the hello")                \
    X(HELLO_TIMEOUT, "hello_timeout", true, 0, "no hello in time")                                 \
    X(HEARTBEAT_TIMEOUT, "heartbeat_timeout", true, 0, "nothing heard in time")                    \
    X(UNAUTHORIZED, "unauthorized", true, 401, "a key or token is missing or wrong")               \
    X(TOO_LARGE, "too_large", true, 413, "over a limit of bytes or of messages")                   \
    X(TIMEOUT, "timeout", false, 408, "a request that came too slowly")                            \
    X(TOO_SLOW, "too_slow", true, 0, "the session did not take what was sent to it")               \
    X(TOO_MANY_GROUPS, "too_many_groups", false, 409, "a session is in 64 groups at the most")     \
    X(RATE_LIMITED, "rate_limited", false, 429, "over --rate-limit")                               \
    X(FORBIDDEN, "forbidden", false, 403, "not allowed to do this")                                \
    X(NOT_FOUND, "not_found", false, 404, "no such path or thing")                                 \
    X(METHOD_NOT_ALLOWED, "method_not_allowed", false, 405, "the path is there, not this method")  \
    X(ID_REUSED, "id_reused", false, 409, "the same message id with other content")                \
    X(UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", false, 415, "a body of another type")      \
    X(OVERLOADED, "overloaded", false, 503, "queues are full; nothing was taken")                  \
    X(UNAVAILABLE, "unavailable", false, 503, "cannot be done at the moment")                      \
    X(CLUSTER_UNAVAILABLE, "cluster_unavailable", false, 503, "other hosts cannot be reached")     \
    X(STORAGE_UNAVAILABLE, "storage_unavailable", false, 503, "the store cannot be reached")       \
    X(DRAINING, "draining", false, 503, "the node is going")

enum code {
    CODE_NONE, /* nothing is wrong */
#define CODE_ENUM(name, word, closes, status, what) CODE_##name,
    CODES(CODE_ENUM)
#undef CODE_ENUM
        CODE_COUNT
};

/* The word on the wire; "" for CODE_NONE. */
const char *code_word(enum code code);
/* Does a client session end with it? */
bool code_closes(enum code code);
/* The HTTP status; 0: it is never an HTTP answer. */
int code_status(enum code code);

#endif
