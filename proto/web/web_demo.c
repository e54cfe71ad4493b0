/* web_demo.c - the page of --demo: examples to paste; see web.h.
 *
 * One page without scripts and without anything from elsewhere. It is the same on every node and
 * names the default ports: whoever can open it may be a stranger, who is not to learn the version,
 * the node's name or where else it listens. */
#include "proto/web/web.h"

static const char page[] =
    "<!doctype html>\n"
    "<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<title>ringpost</title>\n"
    "<style>\n"
    ":root { color-scheme: light dark; }\n"
    "body { font: 16px/1.5 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto;\n"
    "  padding: 0 1rem; }\n"
    "pre { padding: .75rem 1rem; overflow-x: auto; border: 1px solid #8886;\n"
    "  border-radius: .4rem; }\n"
    "</style></head><body>\n"
    "<h1>ringpost</h1>\n"
    "<p>This node takes messages over HTTP and hands them to the clients that they are for.</p>\n"
    "<h2>Try it</h2>\n"
    "<p>In terminals on the node's own machine, with the default ports; the node's first log lines "
    "tell\nwhere it really listens. With an API key add\n"
    "<code>-H \"Authorization: Bearer $RINGPOST_API_KEY\"</code> to each <code>curl</code>.</p>\n"
    "<p>Become a client:</p>\n"
    "<pre>nc localhost 7000\n"
    "{\"type\":\"hello\",\"id\":\"till-7\",\"groups\":[\"shop-1\"]}</pre>\n"
    "<p>Send it something, from another terminal:</p>\n"
    "<pre>curl -d 'Hello' 'http://localhost:8081/v1/clients/till-7?event=greeting'</pre>\n"
    "<p>Send to a group, and to everybody:</p>\n"
    "<pre>curl http://localhost:8081/v1/messages \\\n"
    "  -H 'Content-Type: application/json' \\\n"
    "  -d '{\"group\":\"shop-1\",\"event\":\"price\",\"data\":{\"cents\":1299}}'\n\n"
    "curl -d 'Closing soon' http://localhost:8081/v1/broadcast</pre>\n"
    "<p>See who is there, and what the node does:</p>\n"
    "<pre>curl http://localhost:8081/v1/clients/till-7\n"
    "curl http://localhost:8081/v1/stats</pre>\n"
    "</body></html>\n";

struct span web_demo_page(void) {
    return span_of(page, sizeof page - 1);
}
