#include "main/settings/settings_alert.h"

#include "ha/alert/alert_place.h"

#include <stdio.h>

const char *settings_alert_wrong(enum setting_id id, struct span text) {
    static struct alert_smtp smtp;
    struct alert_place place;
    if (id == SET_ALERT_URL)
        return alert_webhook_parse(text, &place);
    if (id != SET_ALERT_SMTP)
        return alert_address_wrong(text);
    const char *wrong = alert_smtp_parse(text, &smtp);
    memset(&smtp, 0, sizeof(smtp));
    return wrong;
}

const char **settings_alert_member(struct config *config, enum setting_id id) {
    return id == SET_ALERT_URL    ? &config->alert_url
           : id == SET_ALERT_SMTP ? &config->alert_smtp
                                  : &config->alert_from;
}

void settings_alert_range(enum setting_id id, char *text, size_t cap) {
    if (id == SET_ALERT_MAIL)
        snprintf(text, cap, "%d addresses NAME@DOMAIN", ALERT_MAILS_MAX);
    else
        snprintf(text, cap, "%s",
                 id == SET_ALERT_URL    ? "http[s]://HOST[:PORT][/PATH]"
                 : id == SET_ALERT_SMTP ? "smtp[s]://[USER:PASSWORD@]HOST[:PORT]"
                                        : "NAME@DOMAIN");
}

void settings_alert_show(struct builder *out, const struct config *config, enum setting_id id) {
    struct alert_smtp smtp;
    struct alert_place place;
    if (id == SET_ALERT_URL && config->alert_url != NULL &&
        alert_webhook_parse(span_text(config->alert_url), &place) == NULL)
        alert_webhook_write(out, &place);
    else if (id == SET_ALERT_SMTP && config->alert_smtp != NULL &&
             alert_smtp_parse(span_text(config->alert_smtp), &smtp) == NULL)
        alert_smtp_write(out, &smtp);
    else if (id == SET_ALERT_FROM && config->alert_from != NULL)
        builder_text(out, config->alert_from);
    else
        builder_byte(out, '-');
}

const char *settings_alert_problem(const struct config *config) {
    if (config->alert_mail_count != 0 && config->alert_smtp == NULL)
        return "nobody takes the mail; name a server by --alert-smtp smtp://HOST:PORT";
    return NULL;
}

static const char *remark_url(const struct config *config) {
    struct alert_place place;
    if (config->alert_url == NULL ||
        alert_webhook_parse(span_text(config->alert_url), &place) != NULL || place.is_tls ||
        place.is_local)
        return "";
    return "alert-url: whoever is on the way can read the URL and what is told; say https:// where "
           "the receiver has it";
}

static const char *remark_smtp(const struct config *config) {
    if (config->alert_mail_count == 0 && config->alert_smtp != NULL)
        return "alert-smtp says nothing without --alert-mail";
    return "";
}

static const char *remark_from(const struct config *config) {
    if (config->alert_mail_count == 0 && config->alert_from != NULL)
        return "alert-from says nothing without --alert-mail";
    return "";
}

bool settings_alert_remark(const struct config *config, unsigned n, char *text, size_t cap) {
    static const char *(*const remarks[])(const struct config *) = {remark_url, remark_smtp,
                                                                    remark_from};
    if (n >= sizeof(remarks) / sizeof(remarks[0]))
        return false;
    snprintf(text, cap, "%s", remarks[n](config));
    return true;
}
