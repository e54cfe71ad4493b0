#include "proto/http/http_date.h"

#include "core/base/check.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

void http_date_write(uint64_t wall_s, char line[HTTP_DATE_BYTES]) {
    /* strftime would write them in the language of the machine. */
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t seconds = (time_t)wall_s;
    struct tm at;
    char text[128];
    gmtime_r(&seconds, &at);
    int len = snprintf(text, sizeof text, "Date: %.3s, %02d %.3s %04d %02d:%02d:%02d GMT\r\n",
                       days + 3 * at.tm_wday, at.tm_mday, months + 3 * at.tm_mon, at.tm_year + 1900,
                       at.tm_hour, at.tm_min, at.tm_sec);
    CHECK(len == HTTP_DATE_BYTES, "a date behind the year 9999");
    memcpy(line, text, HTTP_DATE_BYTES);
}
