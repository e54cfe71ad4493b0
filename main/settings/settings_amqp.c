#include "main/settings/settings_amqp.h"

#include "ingest/amqp/amqp_port.h"
#include "ingest/amqp/amqp_url.h"
#include "proto/text/utf8.h"

#include <stdio.h>

static const char *queue_wrong(struct span text) {
    if (text.len > AMQP_QUEUE_BYTES_MAX)
        return "is longer than 255 bytes";
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.at[i] < 0x20 || text.at[i] == 0x7F)
            return "holds a control character";
    return utf8_valid(text, NULL) ? NULL : "is not UTF-8";
}

const char *settings_amqp_wrong(enum setting_id id, struct span text) {
    static struct amqp_url url;
    if (id != SET_AMQP)
        return queue_wrong(text);
    const char *wrong = amqp_url_parse(text, &url);
    explicit_bzero(&url, sizeof(url));
    return wrong;
}

const char **settings_amqp_list(struct config *config, enum setting_id id, unsigned **count,
                                unsigned *most) {
    if (id == SET_AMQP) {
        *count = &config->amqp_count;
        *most = AMQP_URLS_MAX;
        return config->amqp;
    }
    if (id == SET_AMQP_REPLIES) {
        *count = &config->amqp_reply_count;
        *most = AMQP_REPLIES_MAX;
        return config->amqp_replies;
    }
    *count = &config->amqp_queue_count;
    *most = AMQP_QUEUES_MAX;
    return config->amqp_queues;
}

void settings_amqp_range(enum setting_id id, char *text, size_t cap) {
    if (id == SET_AMQP)
        snprintf(text, cap, "1 to %d of amqp[s]://[USER[:PASSWORD]@]HOST[:PORT][/VHOST]",
                 AMQP_URLS_MAX);
    else if (id == SET_AMQP_REPLIES)
        snprintf(text, cap, "off, or 1 to %d of direct and beginnings of names", AMQP_REPLIES_MAX);
    else
        snprintf(text, cap, "1 to %d names", AMQP_QUEUES_MAX);
}

void settings_amqp_show(struct builder *out, const struct config *config, enum setting_id id) {
    struct amqp_url url;
    const bool urls = id == SET_AMQP, replies = id == SET_AMQP_REPLIES;
    const char *const *list = urls      ? config->amqp
                              : replies ? config->amqp_replies
                                        : config->amqp_queues;
    unsigned count = urls      ? config->amqp_count
                     : replies ? config->amqp_reply_count
                               : config->amqp_queue_count;
    for (unsigned i = 0; i < count; i++) {
        builder_text(out, i == 0 ? "" : ",");
        if (!urls)
            builder_text(out, list[i]);
        else if (amqp_url_parse(span_text(list[i]), &url) == NULL)
            amqp_url_write(out, &url);
    }
    if (count == 0)
        builder_byte(out, '-');
}

const char *settings_amqp_problem(const struct config *config) {
    if (config->amqp_count != 0 && config->amqp_queue_count == 0)
        return "there is no queue to consume; name one by --amqp-queue NAME";
    if (config->amqp_count == 0 && config->amqp_queue_count != 0)
        return "there is no broker that has the queue; name one by --amqp URL";
    for (unsigned i = 0; i < config->amqp_reply_count && config->amqp_reply_count > 1; i++)
        if (strcmp(config->amqp_replies[i], "off") == 0)
            return "--amqp-replies off stands alone";
    if (config->amqp_refused != NULL && config->amqp_refused[0] == '\0')
        return "the exchange of --amqp-refused has no name";
    if (config->amqp_results != NULL && config->amqp_results[0] == '\0')
        return "the exchange of --amqp-results has no name";
    if ((config->amqp_cert == NULL) != (config->amqp_key == NULL))
        return "a certificate and its key belong together; say --amqp-cert and --amqp-key";
    if (config->amqp_ca == NULL && amqp_url_any_tls(config->amqp, config->amqp_count))
        return "amqps:// needs the certificates to trust; name their file by --amqp-ca (those of "
               "the system are in /etc/ssl/certs/ca-certificates.crt)";
    return NULL;
}

const char *settings_amqp_remark(const struct config *config) {
    bool tls = config->amqp_ca != NULL || config->amqp_cert != NULL;
    if (tls && !amqp_url_any_tls(config->amqp, config->amqp_count))
        return "amqp-ca, amqp-cert and amqp-key say nothing without amqps://";
    return NULL;
}
