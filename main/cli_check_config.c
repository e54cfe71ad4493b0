/* cli_check_config.c - `ringpost check-config`: are the settings good, and where does each come
 * from? */
#include "main/cli.h"
#include "main/settings.h"

#include <stdio.h>
#include <unistd.h>

static const char help[] =
    "ringpost check-config - read the settings as serve would, and show them\n"
    "\n"
    "Usage: ringpost check-config [--SETTING VALUE]...\n"
    "\n"
    "Takes every flag, environment variable and file that serve takes; starts nothing.\n"
    "Prints a table of all settings that would hold, each with the place it comes from, or else\n"
    "everything that is wrong. Keys are not printed.\n"
    "\n"
    "Examples:\n"
    "  ringpost check-config --config /etc/ringpost.conf\n"
    "  ringpost check-config --config /etc/ringpost.conf && kill -HUP \"$(pidof ringpost)\"\n"
    "\n"
    "Exit status: 0 all is good, 1 the file or the start is not, 2 a flag or variable is not.\n"
    "The settings themselves: ringpost serve --help\n";

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
