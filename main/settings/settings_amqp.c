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
    *count = &config->amqp_queue_count;
    *most = AMQP_QUEUES_MAX;
    return config->amqp_queues;
}

void settings_amqp_range(enum setting_id id, char *text, size_t cap) {
    if (id == SET_AMQP)
        snprintf(text, cap, "1 to %d of amqp[s]://[USER[:PASSWORD]@]HOST[:PORT][/VHOST]",
                 AMQP_URLS_MAX);
    else
        snprintf(text, cap, "1 to %d names", AMQP_QUEUES_MAX);
}

void settings_amqp_show(struct builder *out, const struct config *config, enum setting_id id) {
    struct amqp_url url;
    bool urls = id == SET_AMQP;
    unsigned count = urls ? config->amqp_count : config->amqp_queue_count;
    for (unsigned i = 0; i < count; i++) {
        builder_text(out, i == 0 ? "" : ",");
        if (!urls)
            builder_text(out, config->amqp_queues[i]);
        else if (amqp_url_parse(span_text(config->amqp[i]), &url) == NULL)
            amqp_url_write(out, &url);
    }
    if (count == 0)
        builder_byte(out, '-');
}

static bool any_tls(const struct config *config) {
    struct amqp_url url;
    for (unsigned i = 0; i < config->amqp_count; i++)
        if (amqp_url_parse(span_text(config->amqp[i]), &url) == NULL && url.is_tls)
            return true;
    return false;
}

const char *settings_amqp_problem(const struct config *config) {
    if (config->amqp_count != 0 && config->amqp_queue_count == 0)
        return "there is no queue to consume; name one by --amqp-queue NAME";
    if (config->amqp_count == 0 && config->amqp_queue_count != 0)
        return "there is no broker that has the queue; name one by --amqp URL";
    if ((config->amqp_cert == NULL) != (config->amqp_key == NULL))
        return "a certificate and its key belong together; say --amqp-cert and --amqp-key";
    if (config->amqp_ca == NULL && any_tls(config))
        return "amqps:// needs the certificates to trust; name their file by --amqp-ca (those of "
               "the system are in /etc/ssl/certs/ca-certificates.crt)";
    return NULL;
}

const char *settings_amqp_remark(const struct config *config) {
    bool tls = config->amqp_ca != NULL || config->amqp_cert != NULL;
    if (tls && !any_tls(config))
        return "amqp-ca, amqp-cert and amqp-key say nothing without amqps://";
    return NULL;
}
