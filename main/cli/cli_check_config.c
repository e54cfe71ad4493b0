/* cli_check_config.c - `ringpost check-config`: are the settings good, and where does each come
 * from? */
#include "main/cli/cli.h"
#include "main/settings/settings.h"

#include <stdio.h>
#include <unistd.h>

static const char help[] =
    "ringpost check-config - read the settings as serve would, and show them\n"
    "\n"
    "Usage: ringpost check-config [--SETTING VALUE]...\n"
    "\n"
    "Takes every flag, environment variable and file that serve takes, and starts nothing.\n"
    "Prints a table of all settings, each with the place it comes from, or else a list of all\n"
    "mistakes. Never prints keys.\n"
    "\n"
    "Examples:\n"
    "  ringpost check-config --config /etc/ringpost.conf\n"
    "  ringpost check-config --config /etc/ringpost.conf && kill -HUP \"$(pidof ringpost)\"\n"
    "\n"
    "Exit status: 0 all good, 1 the file is wrong or the start would fail, 2 a flag or a\n"
    "variable is wrong. ringpost serve --help lists the settings.\n";

int cli_check_config(int argc, char **argv) {
    static struct settings settings;
    bool good = settings_load(&settings, argc - 1, argv + 1, environ, NULL);
    int status = settings_exit_status(&settings);
    if (settings.help)
        fputs(help, stdout);
    else if (good)
        settings_print_effective(&settings, stdout);
    else
        settings_print_problems(&settings, stderr);
    settings_fini(&settings);
    return status;
}
