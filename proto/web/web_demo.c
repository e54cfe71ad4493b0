/* web_demo.c - the page of --demo, and what a browser lets it do; see web.h.
 *
 * The page is proto/web/demo.html. It is the same on every node: whoever can open it may be a
 * stranger, who is not to learn the version, the node's name or where else it listens. */
#include "proto/web/web.h"

#include "proto/web/demo_page.h"

/* Its own script and style and no others but, where there is one, the script that this listener
 * serves; connections to this listener alone ('self' includes ws: and wss:), and no text that
 * becomes HTML or script in whatever way. */
#define POLICY(more)                                                                               \
    "default-src 'none'; script-src " WEB_DEMO_SCRIPT more "; style-src " WEB_DEMO_STYLE           \
    "; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "                   \
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

#define LINES(more)                                                                                \
    SPAN("Content-Security-Policy: " POLICY(more) "\r\n"                                           \
                                                  "X-Content-Type-Options: nosniff\r\n"            \
                                                  "Referrer-Policy: no-referrer\r\n"               \
                                                  "Cache-Control: no-cache\r\n")

struct span web_demo_page(bool script) {
    return script ? span_of((const char *)web_demo_script_bytes, sizeof web_demo_script_bytes)
                  : span_of((const char *)web_demo_bytes, sizeof web_demo_bytes);
}

struct span web_demo_lines(bool script) {
    return script ? LINES(" 'self'") : LINES("");
}
