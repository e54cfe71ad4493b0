/* settings_amqp.h - what the settings of queues have of their own: what may be written, and how it
 * is shown without passwords.
 *
 * Threads: the main thread. Owns nothing. */
#ifndef RINGPOST_MAIN_SETTINGS_SETTINGS_AMQP_H
#define RINGPOST_MAIN_SETTINGS_SETTINGS_AMQP_H

#include "core/base/builder.h"
#include "main/settings/settings.h"

/* NULL, or what is wrong with an entry of the list, behind its name; constants. */
const char *settings_amqp_wrong(enum setting_id id, struct span text);
/* The list of that setting, and how many entries it may have. */
const char **settings_amqp_list(struct config *config, enum setting_id id, unsigned **count,
                                unsigned *most);
/* What may be written. */
void settings_amqp_range(enum setting_id id, char *text, size_t cap);
/* The value as it may be shown; "-" if there is none. */
void settings_amqp_show(struct builder *out, const struct config *config, enum setting_id id);
/* NULL, or why what was said of queues cannot work. */
const char *settings_amqp_problem(const struct config *config);
/* NULL, or what is worth knowing. */
const char *settings_amqp_remark(const struct config *config);

#endif
