/* amqp_door.h - one connection to a broker, by librabbitmq, and all of it: nobody else includes its
 * headers. It is a codec here: frames are read one by one, nothing is put together, and no call of
 * it that waits for an answer is used; so the body of a delivery is its reader's to keep or to pass
 * over, once its size is known.
 *
 *   CLOSED --door_open--> CONNECTING --> GREETING --> OPEN --> CLOSED
 *                              |             |          |         ^
 *                              +-------------+----------+--- door_close, or it was lost (`why`)
 *
 * What may wait: by TLS door_open, which connects and shakes hands for DOOR_TLS_MS and asks the
 * resolver of the C library before that; and a write into a connection that takes nothing, until
 * the broker has been silent for two heartbeats. So nobody may wait for this thread; and who writes
 * looks at door_takes first, behind which a method always fits.
 *
 * Threads: one. Owns: its socket, and what the library has taken, beside --memory: its buffers, and
 * up to DOOR_FRAME_BYTES for each channel. Limits: one frame at a time. */
#ifndef RINGPOST_INGEST_AMQP_AMQP_DOOR_H
#define RINGPOST_INGEST_AMQP_AMQP_DOOR_H

#include "core/base/clock.h"
#include "core/port_socket.h"
#include "ingest/amqp/amqp_url.h"

#define DOOR_FRAME_BYTES 131072
#define DOOR_FRAME_BYTES_MIN 4096
#define DOOR_HEARTBEAT_S 10
#define DOOR_TLS_MS 3000
#define DOOR_ADDRESSES_MAX 8
#define DOOR_WHY_BYTES 256
/* RabbitMQ takes no table that is nested deeper than memory allows, and the library walks it by
 * calling itself: so much stack is enough for a frame that is nothing but arrays in arrays. */
#define DOOR_STACK_BYTES (16 * 1024 * 1024)

enum door_state { DOOR_CLOSED, DOOR_CONNECTING, DOOR_GREETING, DOOR_OPEN };

/* Where a broker is: its URL, and what the resolver says of its host. */
struct door_place {
    struct amqp_url url;
    char text[AMQP_URL_WRITTEN_MAX + 1]; /* for people: without user and password */
    struct port_address addresses[DOOR_ADDRESSES_MAX];
    unsigned address_count;
};

/* How this node presents itself. */
struct door_self {
    const char *name;                           /* of the connection */
    const char *ca_file, *cert_file, *key_file; /* of TLS; NULL: the system's, none */
    unsigned channels;                          /* that it will open */
};

struct door {
    enum door_state state;
    unsigned greeting;         /* how far that is */
    int fd;                    /* -1: none */
    void *connection, *socket; /* the library's */
    const struct door_place *place;
    const struct door_self *self;
    bool broke;  /* `why` says how; door_next tells it once */
    bool denied; /* it was the broker that said no to user, password or vhost */
    char why[DOOR_WHY_BYTES];
};

enum door_event_kind {
    DOOR_NOTHING,
    DOOR_PASSED, /* a frame that tells nobody anything; there may be more */
    DOOR_LOST,   /* the connection is no more: door->why */
    DOOR_CAME_UP,
    DOOR_CHANNEL_OPEN,
    DOOR_DECLARED,
    DOOR_QOS_SET,
    DOOR_CONSUMES,
    DOOR_CONFIRMS,  /* the channel confirms what is published */
    DOOR_CANCELLED, /* the consumer of the channel is no more, as the broker or this node wanted */
    DOOR_CHANNEL_LOST, /* the broker has closed it: code, text */
    DOOR_CHANNEL_CLOSED,
    DOOR_DELIVERY, /* tag, redelivered; HEADER and BODY follow */
    DOOR_RETURN,   /* what was published mandatory comes back; HEADER and BODY follow */
    DOOR_HEADER,   /* bytes, body_size */
    DOOR_BODY,     /* bytes */
    DOOR_ACK,      /* tag, multiple: published */
    DOOR_NACK,     /* tag, multiple: not published */
    DOOR_BLOCKED,  /* text: the broker takes nothing that is published */
    DOOR_UNBLOCKED,
};

struct door_event {
    enum door_event_kind kind;
    uint16_t channel;
    uint64_t tag;
    bool redelivered, multiple;
    struct span bytes;
    uint64_t body_size;
    uint16_t code;
    struct span text; /* of RETURN the exchange */
};

/* Loads the library, so that a process without queues has nothing of it, nor of its OpenSSL; before
 * the sandbox. False: `problem`. */
bool door_load(char *problem, size_t problem_cap);
/* Asks the resolver for the addresses of a place; before the sandbox. False: `problem`. */
bool door_resolve(struct door_place *place, char *problem, size_t problem_cap);

/* A socket that begins to connect to one of its addresses; -1 with errno: there is none. */
int door_connect(const struct door_place *place, unsigned address);

/* Zeroed memory is a door that is CLOSED, but for `fd`. */
void door_init(struct door *door);
/* Begins to connect, to one of the addresses. What goes wrong is told by door_next. */
void door_open(struct door *door, const struct door_place *place, unsigned address,
               const struct door_self *self);
/* What comes next. Spans live until the next call. */
void door_next(struct door *door, struct door_event *event);
/* Lets go of everything, at once and without a word to the broker. */
void door_close(struct door *door);

/* Does the connection take what is written now? */
bool door_takes(const struct door *door);
/* Sends a heartbeat; whoever reads need not, since that does so. */
void door_beat(struct door *door);

/* Each writes one method; what goes wrong is told by door_next. Only while OPEN. */
void door_channel_open(struct door *door, uint16_t channel);
void door_channel_close(struct door *door, uint16_t channel);
/* `type` NULL: the queue is only looked up. */
void door_declare(struct door *door, uint16_t channel, const char *queue, const char *type,
                  uint64_t ttl_ms);
void door_qos(struct door *door, uint16_t channel, uint16_t prefetch);
void door_consume(struct door *door, uint16_t channel, const char *queue);
void door_cancel(struct door *door, uint16_t channel);
void door_ack(struct door *door, uint16_t channel, uint64_t tag, bool multiple);
void door_reject(struct door *door, uint16_t channel, uint64_t tag);
void door_confirm(struct door *door, uint16_t channel);
/* Says goodbye; the connection goes on until door_close. */
void door_leave(struct door *door);

/* The header of a letter may have so many bytes. Only while OPEN. */
size_t door_header_max(const struct door *door);
/* Publishes; `header` is as amqp_properties_read takes it. False: the header is none (nothing was
 * written), or the connection is lost. */
struct door_letter {
    struct span exchange, routing_key, header, body;
    bool mandatory;
};
bool door_publish(struct door *door, uint16_t channel, const struct door_letter *letter);

/* Waits until `fds` doors have something to read, or one that connects is through with it, or
 * `wake_fd` is ready, for so long at most. */
void door_wait(struct door *const *doors, unsigned count, int wake_fd, uint64_t wait_ns);

#endif
