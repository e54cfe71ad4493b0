/* line_client.c - see line_client.h. */
#include "main/cli/line_client.h"

#include "core/base/builder.h"
#include "main/cli/answer.h"
#include "proto/text/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_FIRST_BYTES 16384

void line_client_init(struct line_client *client, int stop_fd) {
    *client = (struct line_client){.fd = -1, .stop_fd = stop_fd};
}

enum dial_end line_client_connect(struct line_client *client, const char *server,
                                  uint64_t deadline_ns) {
    line_client_close(client);
    int fd;
    enum dial_end end = dial_connect(server, deadline_ns, client->stop_fd, &fd, client->why);
    if (end == DIAL_READY)
        client->fd = fd;
    return end;
}

enum dial_end line_client_send(struct line_client *client, struct span line, uint64_t deadline_ns) {
    enum dial_end end = dial_send(client->fd, line, deadline_ns, client->stop_fd, client->why);
    if (end == DIAL_READY)
        end = dial_send(client->fd, SPAN("\n"), deadline_ns, client->stop_fd, client->why);
    return end;
}

/* Room for more bytes: by moving what is there to the front, else by growing. */
static bool make_room(struct line_client *client) {
    if (client->len < client->cap)
        return true;
    if (client->start > 0) {
        memmove(client->buffer, client->buffer + client->start, client->len - client->start);
        client->len -= client->start;
        client->seen -= client->start;
        client->start = 0;
        return true;
    }
    size_t larger = client->cap == 0 ? BUFFER_FIRST_BYTES : client->cap * 2;
    char *buffer = larger > LINE_CLIENT_LINE_MAX ? NULL : realloc(client->buffer, larger);
    if (buffer == NULL) {
        snprintf(client->why, sizeof(client->why), "the server sent a line that is too long");
        return false;
    }
    client->buffer = buffer;
    client->cap = larger;
    return true;
}

enum dial_end line_client_receive(struct line_client *client, struct span *line,
                                  uint64_t deadline_ns) {
    for (;;) {
        char *end = client->seen == client->len
                        ? NULL
                        : memchr(client->buffer + client->seen, '\n', client->len - client->seen);
        if (end != NULL) {
            *line = span_of(client->buffer + client->start,
                            (size_t)(end - client->buffer) - client->start);
            if (line->len != 0 && line->at[line->len - 1] == '\r')
                line->len--;
            client->start = client->seen = (size_t)(end - client->buffer) + 1;
            if (line->len != 0)
                return DIAL_READY;
            continue;
        }
        client->seen = client->len;
        if (!make_room(client))
            return DIAL_FAILED;
        size_t more;
        enum dial_end received =
            dial_receive(client->fd, client->buffer + client->len, client->cap - client->len, &more,
                         deadline_ns, client->stop_fd, client->why);
        if (received != DIAL_READY)
            return received;
        if (more == 0) {
            snprintf(client->why, sizeof(client->why), "the server closed the connection");
            return DIAL_FAILED;
        }
        client->len += more;
    }
}

void line_client_leave(struct line_client *client, uint64_t deadline_ns) {
    char heard[4096], why[DIAL_WHY_MAX];
    size_t len = 1;
    if (client->fd < 0 || shutdown(client->fd, SHUT_WR) != 0)
        return;
    while (len != 0 &&
           dial_receive(client->fd, heard, sizeof(heard), &len, deadline_ns, -1, why) == DIAL_READY)
        continue;
}

void line_client_close(struct line_client *client) {
    if (client->fd >= 0)
        close(client->fd);
    client->fd = -1;
    client->start = client->len = client->seen = 0;
}

void line_client_fini(struct line_client *client) {
    line_client_close(client);
    free(client->buffer);
    client->buffer = NULL;
    client->cap = 0;
}

size_t line_client_hello(char *text, size_t cap, const char *id, const char *const *groups,
                         unsigned group_count) {
    struct builder b = builder_over(text, cap);
    builder_text(&b, "{\"type\":\"hello\"");
    if (id != NULL) {
        builder_text(&b, ",\"id\":");
        builder_json(&b, span_text(id));
    }
    for (unsigned n = 0; n < group_count; n++) {
        builder_text(&b, n == 0 ? ",\"groups\":[" : ",");
        builder_json(&b, span_text(groups[n]));
    }
    builder_text(&b, group_count == 0 ? "}" : "]}");
    return b.full ? 0 : b.len;
}

size_t line_client_ack(char text[LINE_CLIENT_ACK_MAX], struct span id) {
    char word[MESSAGE_ID_BYTES_MAX + 2]; /* a longer one is seen to be too long */
    if (!answer_text(id, word, sizeof(word)) || message_id_check(span_text(word)) != NULL)
        return 0;
    struct builder b = builder_over(text, LINE_CLIENT_ACK_MAX);
    builder_text(&b, "{\"type\":\"ack\",\"id\":");
    builder_json(&b, span_text(word));
    builder_byte(&b, '}');
    return b.full ? 0 : b.len;
}
