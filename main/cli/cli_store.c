/* cli_store.c - `ringpost store`: look at a node's store on disk, and repair it. */
#include "ha/store/journal_check.h"
#include "main/cli/cli.h"
#include "main/terminal.h"

#include <stdio.h>
#include <string.h>

#define COMMAND "store"

static const char help[] =
    "ringpost store - look at a node's store on disk, and repair it\n"
    "\n"
    "Usage: ringpost store check DIR\n"
    "       ringpost store repair DIR\n"
    "\n"
    "DIR is the directory of the store. The node must not be running: one process at a time may\n"
    "have a store open.\n"
    "\n"
    "check   reads every record and changes nothing. It lists the segments, oldest first, with\n"
    "        their records, and names the file and the byte of whatever is damaged. A torn end\n"
    "        is no damage: it was being written when the power was cut, nobody had been told\n"
    "        that it is safe, and the next start cuts it off.\n"
    "repair  makes a store that a node can start with, of all records that are whole, before and\n"
    "        behind what is damaged. It says which records are lost. Each segment that is damaged\n"
    "        is kept beside as NAME.damaged, for whoever wants to look; delete it when nobody\n"
    "        does. It needs room for a copy of all records, and may be interrupted and run again.\n"
    "        A sound store is left as it is.\n"
    "\n"
    "Examples:\n"
    "  ringpost store check /var/lib/ringpost\n"
    "  systemctl stop ringpost && ringpost store repair /var/lib/ringpost\n"
    "\n"
    "Before a repair, look why it is damaged (dmesg, smartctl), and copy the directory if there\n"
    "is room. Messages whose records are lost are not delivered; acknowledgements that are lost\n"
    "mean that a message is delivered again.\n"
    "Exit status: 0 sound, or repaired; 1 damaged; 2 it could not be read or written, the node is\n"
    "running, or bad usage.\n";

static void say(void *argument, const char *line) {
    FILE *out = argument;
    terminal_format(out, "%s", line);
    fputc('\n', out);
}

static int verdict_status(enum journal_verdict verdict, const struct journal_problem *problem) {
    if (verdict == JOURNAL_UNKNOWN) {
        (void)cli_failed(COMMAND, "%s", problem->text);
        return CLI_USAGE;
    }
    return verdict == JOURNAL_SOUND ? CLI_DONE : CLI_FAILED;
}

int cli_store(int argc, char **argv) {
    static struct cli_list words;
    const struct cli_flag flags[] = {{.name = NULL}};
    struct journal_problem problem;
    words.count = 0;
    int status = cli_read(COMMAND, argc, argv, flags, &words);
    if (status < 0) {
        fputs(help, stdout);
        return CLI_DONE;
    }
    if (status != CLI_DONE)
        return status;
    bool check = words.count != 0 && strcmp(words.entries[0], "check") == 0;
    if (words.count != 0 && !check && strcmp(words.entries[0], "repair") != 0)
        return cli_usage(COMMAND, "it can check and repair, not \"%.40s\"", words.entries[0]);
    if (words.count != 2)
        return cli_usage(COMMAND, words.count == 0  ? "check or repair?"
                                  : words.count < 2 ? "give the directory of the store"
                                                    : "one directory at a time");
    const char *directory = words.entries[1];
    return verdict_status(check ? journal_check(directory, say, stdout, &problem)
                                : journal_repair(directory, say, stdout, &problem),
                          &problem);
}
