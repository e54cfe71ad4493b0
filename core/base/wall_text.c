#include "core/base/wall_text.h"

#include <stdio.h>
#include <time.h>

void wall_text(uint64_t wall_ms, char text[WALL_TEXT_BYTES]) {
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm parts;
    char day[24];
    gmtime_r(&seconds, &parts);
    strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text, WALL_TEXT_BYTES, "%s.%03uZ", day, (unsigned)(wall_ms % 1000));
}
