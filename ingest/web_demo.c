/* web_demo.c - the page of --demo: what this node serves, with examples to paste; see web.h.
 *
 * One page without scripts and without anything from elsewhere. What is put into it are addresses,
 * the node's name and the version, none of which can hold a sign that HTML knows. */
#include "core/base/scroll.h"
#include "core/server.h"
#include "ingest/http_desk.h"
#include "ingest/web.h"

#include <stdlib.h>

#define PAGE_BYTES 8192

static const char page_head[] =
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
    "td { padding: 0 1.5rem .2rem 0; }\n"
    "</style></head><body>\n"
    "<h1>ringpost</h1>\n";

static const char listener_use[LISTENER_KINDS][64] = {
    [LISTENER_TCP] = "clients over TCP: JSON lines, counted framing",
    [LISTENER_WEB] = "browsers: this page, <code>/healthz</code>",
    [LISTENER_API] = "producers and operators: the HTTP API",
};

/* The port of the first listener of a kind; 0: there is none. */
static unsigned port_of(const struct worker *worker, enum listener_kind kind) {
    const struct config *config = worker->config;
    for (unsigned i = 0; i < config->listener_count; i++) {
        if (config->listeners[i].kind != kind)
            continue;
        const char *colon = strrchr(worker->server->listen_text[i], ':');
        return colon == NULL ? 0 : (unsigned)strtoul(colon + 1, NULL, 10);
    }
    return 0;
}

static void examples_write(const struct worker *worker, struct builder *out) {
    unsigned tcp = port_of(worker, LISTENER_TCP), api = port_of(worker, LISTENER_API);
    const char *key = worker->config->api_key_count == 0
                          ? ""
                          : " \\\n  -H \"Authorization: Bearer $RINGPOST_API_KEY\"";
    if (tcp != 0)
        builder_format(out,
                       "<p>Become a client. In a terminal on this machine:</p>\n"
                       "<pre>nc localhost %u\n"
                       "{\"type\":\"hello\",\"id\":\"till-7\",\"groups\":[\"shop-1\"]}</pre>\n",
                       tcp);
    if (api != 0)
        builder_format(
            out,
            "<p>Send it something, from another terminal:</p>\n"
            "<pre>curl -d 'Hello' 'http://localhost:%u/v1/clients/till-7?event=greeting'%s</pre>\n"
            "<p>Send to a group, and to everybody:</p>\n"
            "<pre>curl http://localhost:%u/v1/messages%s \\\n"
            "  -H 'Content-Type: application/json' \\\n"
            "  -d '{\"group\":\"shop-1\",\"event\":\"price\",\"data\":{\"cents\":1299}}'\n\n"
            "curl -d 'Closing soon' http://localhost:%u/v1/broadcast%s</pre>\n"
            "<p>See who is there, and what the node does:</p>\n"
            "<pre>curl http://localhost:%u/v1/clients/till-7%s\n"
            "curl http://localhost:%u/v1/stats%s</pre>\n",
            api, key, api, key, api, key, api, key, api, key);
}

void web_demo_write(const struct worker *worker, struct scroll *scroll) {
    const struct config *config = worker->config;
    if (!scroll_room(scroll, PAGE_BYTES))
        return;
    struct builder *out = &scroll->out;
    builder_text(out, page_head);
    builder_format(out,
                   "<p>Node <b>%s</b>, version %s. It takes messages over HTTP and hands them to "
                   "the clients that they are for.</p>\n<table>\n",
                   config->node, http_version());
    for (unsigned i = 0; i < config->listener_count; i++)
        builder_format(out, "<tr><td><code>%s</code></td><td>%s</td></tr>\n",
                       worker->server->listen_text[i], listener_use[config->listeners[i].kind]);
    builder_text(out, "</table>\n<h2>Try it</h2>\n");
    examples_write(worker, out);
    builder_text(out, "</body></html>\n");
    scroll->failed |= out->full;
}
