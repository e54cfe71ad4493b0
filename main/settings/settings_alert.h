/* settings_alert.h - what the settings of alerts have of their own: what may be written, and how it
 * is shown without secrets.
 *
 * Threads: the main thread. Owns nothing. */
#ifndef RINGPOST_MAIN_SETTINGS_SETTINGS_ALERT_H
#define RINGPOST_MAIN_SETTINGS_SETTINGS_ALERT_H

#include "core/base/builder.h"
#include "main/settings/settings.h"

/* NULL, or what is wrong with the value, behind its name; constants. */
const char *settings_alert_wrong(enum setting_id id, struct span text);
/* Where the text of a setting of that kind that is no list stands. */
const char **settings_alert_member(struct config *config, enum setting_id id);
/* What may be written. */
void settings_alert_range(enum setting_id id, char *text, size_t cap);
/* The value as it may be shown; "-" if there is none. */
void settings_alert_show(struct builder *out, const struct config *config, enum setting_id id);
/* NULL, or why what was said of alerts cannot work. */
const char *settings_alert_problem(const struct config *config);
/* The n-th thing that is worth knowing; empty where it does not hold. False: there are no more. */
bool settings_alert_remark(const struct config *config, unsigned n, char *text, size_t cap);

#endif
