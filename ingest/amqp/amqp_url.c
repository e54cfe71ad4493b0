#include "ingest/amqp/amqp_url.h"

static const struct url_rules rules = {
    .user_bytes_max = AMQP_USER_BYTES_MAX,
    .parameters = "holds a ? or a #; in a user, password or virtual host write %3F or %23, "
                  "parameters have no place",
    .no_user = "has no user before its @",
    .bad_user = "has a bad user; a user is UTF-8 of at most 255 bytes, with % written %25",
    .no_host = "has no host; write amqp://HOST:PORT",
    .no_bracket = "has no ] after the IPv6 address; write [::1]:5672",
    .behind_bracket = "has something behind its IPv6 address; write [::1]:5672",
};

/* Behind the scheme. */
static const char *rest_parse(struct span text, struct amqp_url *out) {
    struct span authority = text, path = text;
    const char *wrong = url_bytes_wrong(text, &rules);
    if (wrong != NULL)
        return wrong;
    if (!url_cut(&path, '/', &authority))
        path = span_of(NULL, 0);
    if (path.len != 0 && memchr(path.at, '/', path.len) != NULL)
        return "has a / in its user, password or virtual host; write %2F";
    if (path.len == 0)
        path = SPAN("/");
    if (!url_text_decode(path, out->vhost, AMQP_VHOST_BYTES_MAX))
        return "has a bad virtual host; one is UTF-8 of at most 255 bytes, with % written %25";
    memcpy(out->user, "guest", sizeof "guest");
    memcpy(out->password, "guest", sizeof "guest");
    wrong = url_user_take(&authority, &rules, out->user, out->password);
    if (wrong != NULL)
        return wrong;
    return url_place_parse(authority, &rules, out->is_tls ? AMQPS_PORT : AMQP_PORT, &out->place);
}

const char *amqp_url_parse(struct span text, struct amqp_url *out) {
    memset(out, 0, sizeof *out);
    out->is_tls = url_scheme_take(&text, SPAN("amqps://"));
    if (!out->is_tls && !url_scheme_take(&text, SPAN("amqp://")))
        return "is no URL of a broker; write amqp://HOST:PORT or amqps://HOST:PORT";
    const char *wrong = rest_parse(text, out);
    if (wrong != NULL)
        memset(out, 0, sizeof *out);
    return wrong;
}

bool amqp_url_any_tls(const char *const *urls, unsigned count) {
    struct amqp_url url;
    for (unsigned i = 0; i < count; i++)
        if (amqp_url_parse(span_text(urls[i]), &url) == NULL && url.is_tls)
            return true;
    return false;
}

void amqp_url_write(struct builder *out, const struct amqp_url *url) {
    builder_text(out, url->is_tls ? "amqps://" : "amqp://");
    url_place_write(out, &url->place);
    builder_byte(out, '/');
    if (strcmp(url->vhost, "/") != 0)
        url_text_write(out, url->vhost);
}
