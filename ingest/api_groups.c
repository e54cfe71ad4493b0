/* api_groups.c - who is in a group; see api.h.
 *
 * An id may have sessions on several workers, so counting ids takes the hashes of all of them: each
 * worker hands over its hashes (8 bytes an id), and the few names that may be on the page. */
#include "core/base/check.h"
#include "core/base/scroll.h"
#include "core/call.h"
#include "core/server.h"
#include "ingest/api.h"
#include "ingest/query.h"
#include "proto/names.h"

#include <stdlib.h>

#define PAGE_DEFAULT 100
#define PAGE_MAX 1000

/* A part's text: `count` hashes, then names, sorted, each as a byte of length and its bytes. */

static struct span call_group(const struct call *call) {
    return span_of(call->text, call->text_len[0]);
}

/* Only ids behind this one are on the page. */
static struct span call_after(const struct call *call) {
    return span_of(call->text + call->text_len[0], call->text_len[1]);
}

static int span_order(struct span a, struct span b) {
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len == 0 ? 0 : memcmp(a.at, b.at, len);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static int by_pointer(const void *a, const void *b) {
    const struct name *const *x = a, *const *y = b;
    return (*x > *y) - (*x < *y);
}

static int by_text(const void *a, const void *b) {
    return span_order(*(const struct span *)a, *(const struct span *)b);
}

static int by_hash(const void *a, const void *b) {
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* --- on each worker --------------------------------------------------------------------------- */

/* The ids of the group's sessions here, each once, into room for as many as it has. */
static size_t ids_collect(const struct name *group, const struct name **ids) {
    size_t count = 0, unique = 0;
    for (const struct list *at = group->sessions.next; at != &group->sessions; at = at->next) {
        const struct session *session = container_of(at, struct membership, name_link)->session;
        if (session->id != NULL)
            ids[count++] = session->id;
    }
    qsort(ids, count, sizeof(*ids), by_pointer);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || ids[i] != ids[i - 1])
            ids[unique++] = ids[i];
    return unique;
}

/* Lets the last of a heap (the root) sink to its place. */
static void heap_sink(struct span *heap, size_t count) {
    for (size_t at = 0;;) {
        size_t child = 2 * at + 1;
        if (child >= count)
            return;
        if (child + 1 < count && span_order(heap[child + 1], heap[child]) > 0)
            child++;
        if (span_order(heap[at], heap[child]) >= 0)
            return;
        struct span moved = heap[at];
        heap[at] = heap[child];
        heap[child] = moved;
        at = child;
    }
}

static void heap_rise(struct span *heap, size_t at) {
    while (at != 0 && span_order(heap[at], heap[(at - 1) / 2]) > 0) {
        struct span moved = heap[at];
        heap[at] = heap[(at - 1) / 2];
        heap[(at - 1) / 2] = moved;
        at = (at - 1) / 2;
    }
}

/* The first `max` of the ids behind `after`, sorted. Returns how many. */
static size_t page_pick(const struct name *const *ids, size_t count, struct span after,
                        struct span *page, size_t max) {
    size_t picked = 0;
    for (size_t i = 0; i < count; i++) {
        struct span text = span_of(ids[i]->text, ids[i]->len);
        if (span_order(text, after) <= 0)
            continue;
        if (picked < max) {
            page[picked] = text;
            heap_rise(page, picked++);
        } else if (span_order(text, page[0]) < 0) {
            page[0] = text;
            heap_sink(page, picked);
        }
    }
    qsort(page, picked, sizeof(*page), by_text);
    return picked;
}

static void members_write(struct scroll *scroll, const struct name *const *ids, size_t count,
                          const struct span *page, size_t picked) {
    if (!scroll_room(scroll, count * sizeof(uint64_t) + picked * (1 + NAME_BYTES_MAX)))
        return;
    for (size_t i = 0; i < count; i++)
        builder_bytes(&scroll->out, &ids[i]->node.hash, sizeof(uint64_t));
    for (size_t i = 0; i < picked; i++) {
        builder_byte(&scroll->out, (char)page[i].len);
        builder_span_add(&scroll->out, page[i]);
    }
}

static void memory_let_go(struct worker *worker, void *at, size_t bytes) {
    if (at != NULL)
        memory_put(&worker->account, at, bytes);
}

static void members_run(struct worker *worker, struct call *call, struct call_part *part) {
    struct span text = call_group(call);
    const struct name *group =
        directory_find(worker, NAME_GROUP, name_hash(NAME_GROUP, text), text);
    if (group == NULL || group->session_count == 0)
        return;
    struct scroll scroll = scroll_empty();
    size_t len, max = call->argument + 1; /* one more tells whether there is a next page */
    size_t ids_bytes = group->session_count * sizeof(struct name *);
    size_t page_bytes = max * sizeof(struct span);
    const struct name **ids = memory_get(&worker->account, ids_bytes);
    struct span *page = memory_get(&worker->account, page_bytes);
    if (ids != NULL && page != NULL) {
        part->count = ids_collect(group, ids);
        members_write(&scroll, ids, part->count, page,
                      page_pick(ids, part->count, call_after(call), page, max));
    }
    part->failed = ids == NULL || page == NULL || scroll.failed;
    memory_let_go(worker, ids, ids_bytes);
    memory_let_go(worker, page, page_bytes);
    part->text = scroll_take(&scroll, &len);
    part->len = (uint32_t)len;
}

/* --- on the owner ----------------------------------------------------------------------------- */

static uint64_t distinct(uint64_t *hashes, size_t count) {
    uint64_t found = 0;
    qsort(hashes, count, sizeof(*hashes), by_hash);
    for (size_t i = 0; i < count; i++)
        found += i == 0 || hashes[i] != hashes[i - 1];
    return found;
}

/* The names of one part, added to the page. */
static size_t page_add(const struct call_part *part, struct span *page, size_t count) {
    for (size_t at = part->count * sizeof(uint64_t); at < part->len;) {
        size_t len = (unsigned char)part->text[at];
        page[count++] = span_of(part->text + at + 1, len);
        at += 1 + len;
    }
    return count;
}

static void page_write(struct scroll *scroll, uint64_t members, struct span *page, size_t count,
                       size_t limit) {
    size_t unique = 0;
    qsort(page, count, sizeof(*page), by_text);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || span_order(page[i], page[i - 1]) != 0)
            page[unique++] = page[i];
    bool more = unique > limit;
    size_t shown = more ? limit : unique;
    if (!scroll_room(scroll, (shown + 1) * (builder_json_max(NAME_BYTES_MAX) + 1) + 128))
        return;
    struct builder *out = &scroll->out;
    builder_byte(out, '{');
    json_key_u64(out, "count", members);
    json_key(out, "ids");
    builder_byte(out, '[');
    for (size_t i = 0; i < shown; i++) {
        json_comma(out);
        builder_json(out, page[i]);
    }
    builder_byte(out, ']');
    json_key(out, "next");
    if (more)
        builder_json(out, page[shown - 1]);
    else
        builder_text(out, "null");
    builder_byte(out, '}');
}

static void members_done(struct worker *worker, struct call *call) {
    struct http_exchange *exchange = call->request;
    struct http_connection *http = exchange->http;
    unsigned workers = worker->server->worker_count;
    size_t hash_count = 0, count = 0;
    for (unsigned i = 0; i < workers; i++)
        hash_count += call->parts[i].count;
    size_t hashes_bytes = hash_count * sizeof(uint64_t) + 1; /* never none */
    size_t page_bytes = workers * (call->argument + 1) * sizeof(struct span);
    uint64_t *hashes = memory_get(&worker->account, hashes_bytes);
    struct span *page = memory_get(&worker->account, page_bytes);
    struct scroll scroll = scroll_empty();
    scroll.failed = hashes == NULL || page == NULL || api_call_failed(worker, call);
    if (!scroll.failed) {
        hash_count = 0;
        for (unsigned i = 0; i < workers; i++) {
            const struct call_part *part = &call->parts[i];
            if (part->len == 0)
                continue;
            memcpy(hashes + hash_count, part->text, part->count * sizeof(*hashes));
            hash_count += part->count;
            count = page_add(part, page, count);
        }
        page_write(&scroll, distinct(hashes, hash_count), page, count, call->argument);
    }
    memory_let_go(worker, hashes, hashes_bytes);
    memory_let_go(worker, page, page_bytes);
    api_answer_scroll(worker, exchange, NULL, &scroll);
    api_call_end(worker, call, http);
}

void api_get_group(struct worker *worker, struct http_exchange *exchange,
                   const struct route_request *request) {
    struct complaint *complaint = &http_desk(worker)->complaint;
    struct query_field fields[] = {{.name = "limit"}, {.name = "after"}, {.name = "namespace"}};
    uint64_t limit = PAGE_DEFAULT;
    const char *wrong = name_check(request->names[0]);
    bool good = query_read(request->http->query, request->texts, fields, 3, complaint) &&
                (!fields[0].given || query_u64(&fields[0], 1, PAGE_MAX, &limit, complaint)) &&
                query_namespace(&fields[2], complaint);
    struct span after = fields[1].value;
    if (good && wrong != NULL) {
        complaint_make(complaint, CODE_BAD_MESSAGE, SPAN("group"), "the group %s", wrong);
        good = false;
    }
    if (good && after.len != 0 && (wrong = name_check(after)) != NULL) {
        complaint_make(complaint, CODE_BAD_MESSAGE, SPAN("after"), "parameter \"after\" %s", wrong);
        good = false;
    }
    if (!good) {
        exchange_complain(worker, exchange, complaint);
        return;
    }
    struct call *call = api_call_get(worker, exchange);
    if (call == NULL)
        return;
    struct span group = request->names[0];
    call->argument = limit;
    memcpy(call->text, group.at, group.len);
    if (after.len != 0)
        memcpy(call->text + group.len, after.at, after.len);
    call->text_len[0] = (uint16_t)group.len;
    call->text_len[1] = (uint16_t)after.len;
    call->run = members_run;
    call->done = members_done;
    api_call_start(worker, call);
}
