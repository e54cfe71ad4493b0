#include "proto/http/forwarded.h"

#include "core/proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>

/* Takes the last element of a list with commas off its end, without the blanks around it. */
static struct span last_take(struct span *list) {
    size_t at = list->len;
    while (at != 0 && list->at[at - 1] != ',')
        at--;
    struct span last = span_skip(*list, at);
    list->len = at == 0 ? 0 : at - 1;
    while (last.len != 0 && (last.at[0] == ' ' || last.at[0] == '\t'))
        last = span_skip(last, 1);
    while (last.len != 0 && (last.at[last.len - 1] == ' ' || last.at[last.len - 1] == '\t'))
        last.len--;
    return last;
}

/* An address, perhaps with a port, IPv6 then in brackets: as proxies write them. */
static bool address_read(struct span text, struct peer_address *peer) {
    char name[INET6_ADDRSTRLEN];
    struct in_addr four;
    bool brackets = text.len != 0 && text.at[0] == '[';
    const char *end = text.len == 0 ? NULL : memchr(text.at, brackets ? ']' : ':', text.len);
    if (brackets && end == NULL)
        return false;
    if (brackets)
        text = span_of(text.at + 1, (size_t)(end - text.at) - 1);
    else if (end != NULL && memchr(end + 1, ':', (size_t)(text.at + text.len - end) - 1) == NULL)
        text.len = (size_t)(end - text.at); /* one colon: IPv4 and a port */
    if (text.len >= sizeof name || (text.len != 0 && memchr(text.at, 0, text.len) != NULL))
        return false;
    memcpy(name, text.at, text.len);
    name[text.len] = '\0';
    *peer = (struct peer_address){.port = 0};
    if (inet_pton(AF_INET6, name, peer->bytes) == 1)
        return true;
    if (brackets || inet_pton(AF_INET, name, &four) != 1)
        return false;
    memset(peer->bytes + 10, 0xff, 2);
    memcpy(peer->bytes + 12, &four, sizeof four);
    return true;
}

void forwarded_peer(const struct config *config, const struct http_request *request,
                    struct peer_address *peer) {
    for (unsigned i = request->fields.count; i > 0; i--) {
        const struct http_field *field = &request->fields.list[i - 1];
        if (!span_equal_nocase(field->name, SPAN("x-forwarded-for")))
            continue;
        struct span list = field->value;
        while (list.len != 0) {
            struct peer_address one;
            if (!address_read(last_take(&list), &one))
                return;
            if (proxy_forwards(config, &one))
                continue;
            *peer = one;
            return;
        }
    }
}
