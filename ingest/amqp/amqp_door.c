#include "ingest/amqp/amqp_door.h"

#include "core/base/check.h"
#include "core/base/library.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/time.h>
#include <unistd.h>

#if __has_include(<rabbitmq-c/amqp.h>) /* from 0.12 on */
#include <rabbitmq-c/amqp.h>
#include <rabbitmq-c/ssl_socket.h>
#include <rabbitmq-c/tcp_socket.h>
#else
#include <amqp.h>
#include <amqp_ssl_socket.h>
#include <amqp_tcp_socket.h>
#endif

enum { GREETING_START, GREETING_TUNE, GREETING_OPEN };

#define CONSUMER_TAG "ringpost"

/* Calls of the library. */
#define CALLS(X)                                                                                   \
    X(amqp_new_connection)                                                                         \
    X(amqp_destroy_connection)                                                                     \
    X(amqp_tcp_socket_new)                                                                         \
    X(amqp_tcp_socket_set_sockfd)                                                                  \
    X(amqp_ssl_socket_new)                                                                         \
    X(amqp_ssl_socket_set_verify_peer)                                                             \
    X(amqp_ssl_socket_set_verify_hostname)                                                         \
    X(amqp_ssl_socket_set_ssl_versions)                                                            \
    X(amqp_ssl_socket_set_cacert)                                                                  \
    X(amqp_ssl_socket_set_key)                                                                     \
    X(amqp_socket_open_noblock)                                                                    \
    X(amqp_get_sockfd)                                                                             \
    X(amqp_get_frame_max)                                                                          \
    X(amqp_tune_connection)                                                                        \
    X(amqp_send_header)                                                                            \
    X(amqp_send_method)                                                                            \
    X(amqp_send_frame)                                                                             \
    X(amqp_simple_wait_frame_noblock)                                                              \
    X(amqp_maybe_release_buffers)                                                                  \
    X(amqp_error_string2)                                                                          \
    X(amqp_decode_properties)                                                                      \
    X(amqp_basic_publish)                                                                          \
    X(init_amqp_pool)                                                                              \
    X(empty_amqp_pool)

static struct { CALLS(LIBRARY_POINTER) } api;

#define CALL(name) LIBRARY_CALL(api, name)
static const struct library_call calls[] = {CALLS(CALL)};

static const struct library library = {
    .file = "librabbitmq.so.4",
    .need = "--amqp needs librabbitmq",
    .remedy = "apt-get install librabbitmq4, or leave --amqp out",
    .calls = calls,
    .call_count = sizeof(calls) / sizeof(calls[0]),
};

bool door_load(char *problem, size_t problem_cap) {
    return library_load(&library, problem, problem_cap);
}

static const amqp_bytes_t no_bytes;

static amqp_bytes_t text_bytes(const char *text) {
    return (amqp_bytes_t){strlen(text), (void *)(uintptr_t)text};
}

static amqp_bytes_t bytes_of(struct span text) {
    return (amqp_bytes_t){text.len, (void *)(uintptr_t)text.at};
}

static struct span span_from(amqp_bytes_t bytes) {
    return span_of(bytes.bytes, bytes.len);
}

/* --- the end ---------------------------------------------------------------------------------- */

/* Room for why it is lost; none where that was said: the first reason counts. */
static size_t why_cap(struct door *door) {
    size_t cap = door->broke ? 0 : sizeof(door->why);
    door->broke = true;
    return cap;
}

#define lose(door, ...) snprintf((door)->why, why_cap(door), __VA_ARGS__)

static void lose_status(struct door *door, int status) {
    if (status == AMQP_STATUS_SOCKET_ERROR && errno != 0)
        lose(door, "%s", strerror(errno));
    else
        lose(door, "%s", api.amqp_error_string2(status));
}

void door_init(struct door *door) {
    memset(door, 0, sizeof(*door));
    door->fd = -1;
}

void door_close(struct door *door) {
    if (door->connection != NULL)
        api.amqp_destroy_connection(door->connection); /* the socket with it */
    else if (door->fd >= 0)
        close(door->fd);
    door->connection = door->socket = NULL;
    door->fd = -1;
    door->state = DOOR_CLOSED;
    door->broke = false;
}

/* --- connecting ------------------------------------------------------------------------------- */

static bool tls_files(struct door *door, amqp_socket_t *tls) {
    const struct door_self *self = door->self;
    if (self->ca_file != NULL &&
        api.amqp_ssl_socket_set_cacert(tls, self->ca_file) != AMQP_STATUS_OK) {
        lose(door, "--amqp-ca cannot be read as certificates");
        return false;
    }
    if (self->cert_file != NULL &&
        api.amqp_ssl_socket_set_key(tls, self->cert_file, self->key_file) != AMQP_STATUS_OK) {
        lose(door, "--amqp-cert and --amqp-key cannot be read as a certificate and its key");
        return false;
    }
    return true;
}

static void tls_open(struct door *door) {
    const struct amqp_url *url = &door->place->url;
    amqp_socket_t *tls = api.amqp_ssl_socket_new(door->connection);
    struct timeval wait = {DOOR_TLS_MS / 1000, DOOR_TLS_MS % 1000 * 1000};
    if (tls == NULL) {
        lose(door, "no memory for TLS");
        return;
    }
    api.amqp_ssl_socket_set_verify_peer(tls, 1);
    api.amqp_ssl_socket_set_verify_hostname(tls, 1);
    if (api.amqp_ssl_socket_set_ssl_versions(tls, AMQP_TLSv1_2, AMQP_TLSvLATEST) !=
        AMQP_STATUS_OK) {
        lose(door, "TLS 1.2 is not to be had");
        return;
    }
    if (!tls_files(door, tls))
        return;
    int status = api.amqp_socket_open_noblock(tls, url->host, url->port, &wait);
    if (status != AMQP_STATUS_OK) {
        lose_status(door, status);
        return;
    }
    door->fd = api.amqp_get_sockfd(door->connection);
}

/* The connection is there: the broker is told so. */
static void greet(struct door *door) {
    door->state = DOOR_GREETING;
    door->greeting = GREETING_START;
    int status = api.amqp_send_header(door->connection);
    if (status != AMQP_STATUS_OK)
        lose_status(door, status);
}

void door_open(struct door *door, const struct door_place *place, unsigned address,
               const struct door_self *self) {
    CHECK(door->state == DOOR_CLOSED, "it is open");
    door->place = place;
    door->self = self;
    door->state = DOOR_CONNECTING;
    door->broke = door->denied = false;
    errno = 0;
    if (!place->url.is_tls) {
        door->fd = door_connect(place, address);
        if (door->fd < 0)
            lose(door, "%s", strerror(errno));
        return;
    }
    door->connection = api.amqp_new_connection();
    if (door->connection == NULL)
        lose(door, "no memory for a connection");
    else
        tls_open(door);
    if (!door->broke)
        greet(door);
}

/* Is the connection there? Then the library has it. */
static void connecting_step(struct door *door) {
    struct pollfd fd = {.fd = door->fd, .events = POLLOUT};
    int error = 0;
    socklen_t len = sizeof(error);
    if (poll(&fd, 1, 0) <= 0)
        return;
    if (getsockopt(door->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        error = errno;
    if (error != 0) {
        lose(door, "%s", strerror(error));
        return;
    }
    door->connection = api.amqp_new_connection();
    amqp_socket_t *socket =
        door->connection == NULL ? NULL : api.amqp_tcp_socket_new(door->connection);
    if (socket == NULL) {
        if (door->connection != NULL)
            api.amqp_destroy_connection(door->connection);
        door->connection = NULL;
        lose(door, "no memory for a connection");
        return;
    }
    api.amqp_tcp_socket_set_sockfd(socket, door->fd);
    greet(door);
}

/* --- writing ---------------------------------------------------------------------------------- */

static void send_method(struct door *door, uint16_t channel, amqp_method_number_t id,
                        void *method) {
    if (door->broke || door->connection == NULL)
        return;
    errno = 0;
    int status = api.amqp_send_method(door->connection, channel, id, method);
    if (status != AMQP_STATUS_OK)
        lose_status(door, status);
}

/* The same for what the broker may cause without end: one that takes none would hold us here. */
static void answer_method(struct door *door, uint16_t channel, amqp_method_number_t id, void *arg) {
    if (door->state == DOOR_OPEN && !door->broke && !door_takes(door))
        lose(door, "it takes no answers");
    else
        send_method(door, channel, id, arg);
}

void door_beat(struct door *door) {
    amqp_frame_t beat = {.frame_type = AMQP_FRAME_HEARTBEAT, .channel = 0};
    if (!door_takes(door))
        return;
    int status = api.amqp_send_frame(door->connection, &beat);
    if (status != AMQP_STATUS_OK)
        lose_status(door, status);
}

void door_channel_open(struct door *door, uint16_t channel) {
    amqp_channel_open_t method = {.out_of_band = no_bytes};
    send_method(door, channel, AMQP_CHANNEL_OPEN_METHOD, &method);
}

void door_channel_close(struct door *door, uint16_t channel) {
    amqp_channel_close_t method = {.reply_code = AMQP_REPLY_SUCCESS, .reply_text = no_bytes};
    answer_method(door, channel, AMQP_CHANNEL_CLOSE_METHOD, &method);
}

void door_declare(struct door *door, uint16_t channel, const char *queue, const char *type,
                  uint64_t ttl_ms) {
    amqp_table_entry_t entries[] = {
        {text_bytes("x-message-ttl"),
         {.kind = AMQP_FIELD_KIND_I64, .value = {.i64 = (int64_t)ttl_ms}}},
        {text_bytes("x-queue-type"),
         {.kind = AMQP_FIELD_KIND_UTF8, .value = {.bytes = text_bytes("quorum")}}},
    };
    bool quorum = type != NULL && strcmp(type, "quorum") == 0;
    amqp_queue_declare_t method = {.queue = text_bytes(queue), .passive = type == NULL};
    if (type != NULL) {
        method.durable = 1;
        method.arguments = (amqp_table_t){quorum ? 2 : 1, entries};
    }
    send_method(door, channel, AMQP_QUEUE_DECLARE_METHOD, &method);
}

void door_qos(struct door *door, uint16_t channel, uint16_t prefetch) {
    amqp_basic_qos_t method = {.prefetch_count = prefetch};
    send_method(door, channel, AMQP_BASIC_QOS_METHOD, &method);
}

void door_consume(struct door *door, uint16_t channel, const char *queue) {
    amqp_basic_consume_t method = {.queue = text_bytes(queue),
                                   .consumer_tag = text_bytes(CONSUMER_TAG)};
    send_method(door, channel, AMQP_BASIC_CONSUME_METHOD, &method);
}

void door_cancel(struct door *door, uint16_t channel) {
    amqp_basic_cancel_t method = {.consumer_tag = text_bytes(CONSUMER_TAG)};
    send_method(door, channel, AMQP_BASIC_CANCEL_METHOD, &method);
}

void door_ack(struct door *door, uint16_t channel, uint64_t tag, bool multiple) {
    amqp_basic_ack_t method = {.delivery_tag = tag, .multiple = multiple};
    send_method(door, channel, AMQP_BASIC_ACK_METHOD, &method);
}

void door_reject(struct door *door, uint16_t channel, uint64_t tag) {
    amqp_basic_reject_t method = {.delivery_tag = tag, .requeue = 0};
    send_method(door, channel, AMQP_BASIC_REJECT_METHOD, &method);
}

void door_confirm(struct door *door, uint16_t channel) {
    amqp_confirm_select_t method = {.nowait = 0};
    answer_method(door, channel, AMQP_CONFIRM_SELECT_METHOD, &method);
}

void door_leave(struct door *door) {
    amqp_connection_close_t method = {.reply_code = AMQP_REPLY_SUCCESS, .reply_text = no_bytes};
    send_method(door, 0, AMQP_CONNECTION_CLOSE_METHOD, &method);
}

size_t door_header_max(const struct door *door) {
    enum { AROUND = 7 + 14 + 1 }; /* the frame's head and end, and what stands before properties */
    return (size_t)api.amqp_get_frame_max(door->connection) - AROUND;
}

bool door_publish(struct door *door, uint16_t channel, const struct door_letter *letter) {
    amqp_pool_t pool;
    void *properties = NULL;
    if (door->broke || door->connection == NULL)
        return false;
    api.init_amqp_pool(&pool, 4096);
    bool good = api.amqp_decode_properties(AMQP_BASIC_CLASS, &pool, bytes_of(letter->header),
                                           &properties) >= 0;
    if (good) {
        errno = 0;
        int status = api.amqp_basic_publish(door->connection, channel, bytes_of(letter->exchange),
                                            bytes_of(letter->routing_key), letter->mandatory, 0,
                                            properties, bytes_of(letter->body));
        good = status == AMQP_STATUS_OK;
        if (!good)
            lose_status(door, status);
    }
    api.empty_amqp_pool(&pool);
    return good;
}

/* --- the greeting ----------------------------------------------------------------------------- */

static bool offers(amqp_bytes_t mechanisms, const char *mechanism) {
    struct span rest = span_from(mechanisms), want = span_text(mechanism);
    while (rest.len != 0) {
        const char *end = memchr(rest.at, ' ', rest.len);
        size_t len = end == NULL ? rest.len : (size_t)(end - rest.at);
        if (span_equal(span_of(rest.at, len), want))
            return true;
        rest = span_skip(rest, end == NULL ? len : len + 1);
    }
    return false;
}

static amqp_table_entry_t text_entry(const char *name, const char *text) {
    return (amqp_table_entry_t){
        text_bytes(name), {.kind = AMQP_FIELD_KIND_UTF8, .value = {.bytes = text_bytes(text)}}};
}

static amqp_table_entry_t can_entry(const char *name) {
    return (amqp_table_entry_t){text_bytes(name),
                                {.kind = AMQP_FIELD_KIND_BOOLEAN, .value = {.boolean = 1}}};
}

static void on_start(struct door *door, const amqp_connection_start_t *start) {
    static const char *const mechanisms[] = {"PLAIN"};
    const struct amqp_url *url = &door->place->url;
    char response[2 + AMQP_USER_BYTES_MAX + URL_PASSWORD_BYTES_MAX];
    size_t user_len = strlen(url->user), password_len = strlen(url->password);
    if (start->version_major != 0 || start->version_minor != 9) {
        lose(door, "it speaks another version of AMQP than 0-9-1");
        return;
    }
    if (!offers(start->mechanisms, mechanisms[0])) {
        lose(door, "it does not take a user and a password (PLAIN)");
        door->denied = true;
        return;
    }
    response[0] = '\0';
    memcpy(response + 1, url->user, user_len);
    response[1 + user_len] = '\0';
    memcpy(response + 2 + user_len, url->password, password_len);
    amqp_table_entry_t can[] = {can_entry("authentication_failure_close"),
                                can_entry("connection.blocked"), can_entry("basic.nack"),
                                can_entry("consumer_cancel_notify"),
                                can_entry("publisher_confirms")};
    amqp_table_entry_t self[] = {
        text_entry("product", "ringpost"),
        text_entry("connection_name", door->self->name),
        {text_bytes("capabilities"),
         {.kind = AMQP_FIELD_KIND_TABLE, .value = {.table = {sizeof(can) / sizeof(can[0]), can}}}},
    };
    amqp_connection_start_ok_t method = {
        .client_properties = {sizeof(self) / sizeof(self[0]), self},
        .mechanism = text_bytes(mechanisms[0]),
        .response = {2 + user_len + password_len, response},
        .locale = text_bytes("en_US"),
    };
    send_method(door, 0, AMQP_CONNECTION_START_OK_METHOD, &method);
    explicit_bzero(response, sizeof(response));
    door->greeting = GREETING_TUNE;
}

/* 0 stands for no limit. */
static uint32_t least(uint32_t theirs, uint32_t ours) {
    return theirs != 0 && theirs < ours ? theirs : ours;
}

static void on_tune(struct door *door, const amqp_connection_tune_t *tune) {
    amqp_connection_tune_ok_t answer = {
        .channel_max = (uint16_t)least(tune->channel_max, door->self->channels),
        .frame_max = least(tune->frame_max, DOOR_FRAME_BYTES),
        .heartbeat = (uint16_t)least(tune->heartbeat, DOOR_HEARTBEAT_S),
    };
    amqp_connection_open_t open = {.virtual_host = text_bytes(door->place->url.vhost), .insist = 1};
    if (answer.channel_max < door->self->channels) {
        lose(door, "it allows %u channels, and each queue needs one", answer.channel_max);
        return;
    }
    if (answer.frame_max < DOOR_FRAME_BYTES_MIN) {
        lose(door, "it allows frames of %u bytes, less than AMQP does", answer.frame_max);
        return;
    }
    if (api.amqp_tune_connection(door->connection, answer.channel_max, (int)answer.frame_max,
                                 answer.heartbeat) != AMQP_STATUS_OK) {
        lose(door, "no memory for its frames");
        return;
    }
    send_method(door, 0, AMQP_CONNECTION_TUNE_OK_METHOD, &answer);
    send_method(door, 0, AMQP_CONNECTION_OPEN_METHOD, &open);
    door->greeting = GREETING_OPEN;
}

static void on_greeting(struct door *door, const amqp_method_t *method, struct door_event *event) {
    if (door->greeting == GREETING_START && method->id == AMQP_CONNECTION_START_METHOD) {
        on_start(door, method->decoded);
    } else if (door->greeting == GREETING_TUNE && method->id == AMQP_CONNECTION_TUNE_METHOD) {
        on_tune(door, method->decoded);
    } else if (door->greeting == GREETING_OPEN && method->id == AMQP_CONNECTION_OPEN_OK_METHOD) {
        door->state = DOOR_OPEN;
        event->kind = DOOR_CAME_UP;
    } else {
        lose(door, "it does not greet as a broker of AMQP 0-9-1 does");
    }
}

/* --- reading ---------------------------------------------------------------------------------- */

static void on_connection_close(struct door *door, const amqp_connection_close_t *close) {
    amqp_connection_close_ok_t method = {.dummy = 0};
    if (door_takes(door))
        send_method(door, 0, AMQP_CONNECTION_CLOSE_OK_METHOD, &method);
    door->denied = door->state == DOOR_GREETING && (close->reply_code == AMQP_ACCESS_REFUSED ||
                                                    close->reply_code == AMQP_NOT_ALLOWED);
    lose(door, "it says %u %.*s", close->reply_code, (int)close->reply_text.len,
         (const char *)close->reply_text.bytes);
}

static void on_channel_close(struct door *door, const amqp_channel_close_t *close,
                             struct door_event *event) {
    amqp_channel_close_ok_t method = {.dummy = 0};
    answer_method(door, event->channel, AMQP_CHANNEL_CLOSE_OK_METHOD, &method);
    event->kind = DOOR_CHANNEL_LOST;
    event->code = close->reply_code;
    event->text = span_from(close->reply_text);
}

static void on_cancel(struct door *door, const amqp_basic_cancel_t *cancel,
                      struct door_event *event) {
    amqp_basic_cancel_ok_t method = {.consumer_tag = cancel->consumer_tag};
    if (!cancel->nowait)
        answer_method(door, event->channel, AMQP_BASIC_CANCEL_OK_METHOD, &method);
    event->kind = DOOR_CANCELLED;
}

/* Of those that matter. */
static void on_method(struct door *door, const amqp_method_t *method, struct door_event *event) {
    static const struct {
        amqp_method_number_t id;
        enum door_event_kind kind;
    } plain[] = {
        {AMQP_CHANNEL_OPEN_OK_METHOD, DOOR_CHANNEL_OPEN},
        {AMQP_CHANNEL_CLOSE_OK_METHOD, DOOR_CHANNEL_CLOSED},
        {AMQP_QUEUE_DECLARE_OK_METHOD, DOOR_DECLARED},
        {AMQP_BASIC_QOS_OK_METHOD, DOOR_QOS_SET},
        {AMQP_BASIC_CONSUME_OK_METHOD, DOOR_CONSUMES},
        {AMQP_BASIC_CANCEL_OK_METHOD, DOOR_CANCELLED},
        {AMQP_CONFIRM_SELECT_OK_METHOD, DOOR_CONFIRMS},
        {AMQP_CONNECTION_UNBLOCKED_METHOD, DOOR_UNBLOCKED},
    };
    amqp_channel_flow_ok_t flow_ok;
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
        if (method->id == plain[i].id)
            event->kind = plain[i].kind;
    switch (method->id) {
    case AMQP_BASIC_DELIVER_METHOD: {
        const amqp_basic_deliver_t *deliver = method->decoded;
        event->kind = DOOR_DELIVERY;
        event->tag = deliver->delivery_tag;
        event->redelivered = deliver->redelivered != 0;
        break;
    }
    case AMQP_BASIC_ACK_METHOD: {
        const amqp_basic_ack_t *ack = method->decoded;
        event->kind = DOOR_ACK;
        event->tag = ack->delivery_tag;
        event->multiple = ack->multiple != 0;
        break;
    }
    case AMQP_BASIC_NACK_METHOD: {
        const amqp_basic_nack_t *nack = method->decoded;
        event->kind = DOOR_NACK;
        event->tag = nack->delivery_tag;
        event->multiple = nack->multiple != 0;
        break;
    }
    case AMQP_BASIC_RETURN_METHOD:
        event->kind = DOOR_RETURN;
        event->text = span_from(((const amqp_basic_return_t *)method->decoded)->exchange);
        break;
    case AMQP_BASIC_CANCEL_METHOD:
        on_cancel(door, method->decoded, event);
        break;
    case AMQP_CHANNEL_CLOSE_METHOD:
        on_channel_close(door, method->decoded, event);
        break;
    case AMQP_CHANNEL_FLOW_METHOD:
        flow_ok.active = ((const amqp_channel_flow_t *)method->decoded)->active;
        answer_method(door, event->channel, AMQP_CHANNEL_FLOW_OK_METHOD, &flow_ok);
        break;
    case AMQP_CONNECTION_BLOCKED_METHOD:
        event->kind = DOOR_BLOCKED;
        event->text = span_from(((const amqp_connection_blocked_t *)method->decoded)->reason);
        break;
    default:
        break;
    }
}

static void on_frame(struct door *door, const amqp_frame_t *frame, struct door_event *event) {
    *event = (struct door_event){.kind = DOOR_PASSED, .channel = frame->channel};
    if (frame->channel > door->self->channels) {
        lose(door, "it sends a frame on channel %u, which is not open", frame->channel);
        return;
    }
    if (frame->frame_type == AMQP_FRAME_METHOD &&
        frame->payload.method.id == AMQP_CONNECTION_CLOSE_METHOD) {
        on_connection_close(door, frame->payload.method.decoded);
    } else if (frame->frame_type == AMQP_FRAME_METHOD &&
               frame->payload.method.id == AMQP_CONNECTION_CLOSE_OK_METHOD) {
        lose(door, "it was left");
    } else if (door->state == DOOR_GREETING && frame->frame_type != AMQP_FRAME_METHOD) {
        lose(door, "it does not greet as a broker of AMQP 0-9-1 does");
    } else if (door->state == DOOR_GREETING) {
        on_greeting(door, &frame->payload.method, event);
    } else if (frame->frame_type == AMQP_FRAME_METHOD) {
        on_method(door, &frame->payload.method, event);
    } else if (frame->frame_type == AMQP_FRAME_HEADER) {
        event->kind = DOOR_HEADER;
        event->bytes = span_from(frame->payload.properties.raw);
        if (event->bytes.len > DOOR_FRAME_BYTES) /* the library takes a short one for a long one */
            lose(door, "it sends a content header that is none");
        event->body_size = frame->payload.properties.body_size;
    } else if (frame->frame_type == AMQP_FRAME_BODY) {
        event->kind = DOOR_BODY;
        event->bytes = span_from(frame->payload.body_fragment);
    }
}

void door_next(struct door *door, struct door_event *event) {
    const struct timeval at_once = {0, 0};
    *event = (struct door_event){.kind = DOOR_NOTHING};
    if (door->state == DOOR_CONNECTING && !door->broke)
        connecting_step(door);
    if (!door->broke && door->state >= DOOR_GREETING) {
        amqp_frame_t frame;
        api.amqp_maybe_release_buffers(door->connection);
        errno = 0;
        int status = api.amqp_simple_wait_frame_noblock(door->connection, &frame, &at_once);
        if (status == AMQP_STATUS_OK)
            on_frame(door, &frame, event);
        else if (status != AMQP_STATUS_TIMEOUT)
            lose_status(door, status);
    }
    if (door->broke && door->state != DOOR_CLOSED) {
        door_close(door);
        event->kind = DOOR_LOST;
    }
}
