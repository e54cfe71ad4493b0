/* api_groups.c - who is in a group; see api.h.
 *
 * Each worker walks through the group's sessions on it, a slice of each turn, marks the ids that it
 * has met, and keeps the hash of each (8 bytes an id) and the names that may be on the page. An id
 * may have sessions on several workers, so the owner counts different hashes, then merges the
 * pages, in slices too: nothing here takes longer in a turn because the group is large. */
#include "core/base/check.h"
#include "core/base/shortage.h"
#include "core/base/strbuf.h"
#include "core/call.h"
#include "core/server.h"
#include "ingest/api/api.h"
#include "ingest/api/distinct.h"
#include "ingest/api/page.h"
#include "proto/http/query.h"
#include "proto/text/names.h"

#define PAGE_DEFAULT 100
#define PAGE_MAX 1000

/* The blocks of a part: `count` hashes; a page. And of the call: a merge; the hashes that it has
 * met, unless they all come from one worker. */
enum { BLOCK_IDS, BLOCK_PAGE };
enum { BLOCK_MERGE, BLOCK_DISTINCT };

static struct span call_group(const struct call *call) {
    return span_of(call->text, call->text_len[0]);
}

/* Only ids behind this one are on the page. */
static struct span call_after(const struct call *call) {
    return span_of(call->text + call->text_len[0], call->text_len[1]);
}

static uint64_t *part_ids(const struct call_part *part) {
    return (uint64_t *)(void *)part->blocks[BLOCK_IDS]->text;
}

static struct page *part_page(const struct call_part *part) {
    return (struct page *)(void *)part->blocks[BLOCK_PAGE]->text;
}

/* --- on each worker --------------------------------------------------------------------------- */

static bool members_visit(struct worker *worker, struct call_part *part, struct session *session) {
    struct name *id = session->id;
    if (id == NULL || id->seen == worker->calls.stamp)
        return true;
    id->seen = worker->calls.stamp;
    CHECK((part->count + 1) * sizeof(uint64_t) <= part->blocks[BLOCK_IDS]->cap,
          "a walk meets more sessions than there were");
    part_ids(part)[part->count++] = id->node.hash;
    struct span text = span_of(id->text, id->len);
    if (name_order(text, call_after(part->call)) > 0)
        page_offer(part_page(part), text);
    return true;
}

/* False: there is nobody to look at, or no memory to do so. */
static bool members_begin(struct worker *worker, struct call *call, struct call_part *part) {
    const struct name *group =
        directory_find(worker, NAME_GROUP, call->namespace, call->argument, call_group(call));
    if (group == NULL)
        return false;
    uint32_t max = group->session_count < call->limit + 1 ? group->session_count : call->limit + 1;
    part->blocks[BLOCK_IDS] =
        chunk_get(worker, group->session_count * sizeof(uint64_t), call->reserve);
    part->blocks[BLOCK_PAGE] = chunk_get(worker, page_bytes(max), call->reserve);
    part->failed = part->blocks[BLOCK_IDS] == NULL || part->blocks[BLOCK_PAGE] == NULL;
    if (SHORTAGE(part->failed))
        return false;
    page_over(part->blocks[BLOCK_PAGE]->text, max);
    /* After four thousand million looks an id could be taken for one that was met. */
    worker->calls.stamp += worker->calls.stamp == UINT32_MAX ? 2 : 1;
    return true;
}

static bool members_run(struct worker *worker, struct call *call, struct call_part *part) {
    if (!part->begun && !members_begin(worker, call, part))
        return true;
    if (!call_walk(worker, part, NAME_GROUP, call->namespace, call->argument, call_group(call)))
        return false;
    page_sort(part_page(part));
    return true;
}

/* --- on the owner ----------------------------------------------------------------------------- */

/* So many hashes are looked at between two looks at the clock. */
#define ADD_HASHES 32

struct merge {
    enum { MERGE_CLEAR, MERGE_ADD, MERGE_WRITE } stage;
    unsigned part; /* ADD: whose hashes are being added */
    uint64_t at;   /* of those, the next */
    uint64_t count;
    uint32_t next[WORKERS_MAX]; /* WRITE: the next name of each page */
    uint32_t shown;
    struct span last; /* that was shown; in its page */
    struct chain chain;
};

static struct merge *call_merge(const struct call *call) {
    return (struct merge *)(void *)call->blocks[BLOCK_MERGE]->text;
}

static struct distinct *call_distinct(const struct call *call) {
    return (struct distinct *)(void *)call->blocks[BLOCK_DISTINCT]->text;
}

/* False: there is no memory. */
static bool merge_begin(struct worker *worker, struct call *call) {
    unsigned parts = 0;
    uint64_t hashes = 0;
    for (unsigned i = 0; i < worker->server->worker_count; i++) {
        hashes += call->parts[i].count;
        parts += call->parts[i].count != 0;
    }
    call->blocks[BLOCK_MERGE] = chunk_get(worker, sizeof(struct merge), call->reserve);
    if (SHORTAGE(call->blocks[BLOCK_MERGE] == NULL))
        return false;
    struct merge *merge = call_merge(call);
    *merge = (struct merge){
        .stage = MERGE_WRITE, .count = hashes, .chain = chain_empty(worker, call->reserve)};
    if (parts <= 1)
        return true;
    call->blocks[BLOCK_DISTINCT] = chunk_get(worker, distinct_bytes(hashes), call->reserve);
    if (SHORTAGE(call->blocks[BLOCK_DISTINCT] == NULL))
        return false;
    distinct_over(call_distinct(call), hashes);
    merge->stage = MERGE_CLEAR;
    return true;
}

/* Adds some hashes more. True: all were. */
static bool hashes_add(const struct worker *worker, struct call *call, struct merge *merge) {
    const struct call_part *part = &call->parts[merge->part];
    for (unsigned i = 0; i < ADD_HASHES && merge->at < part->count; i++)
        distinct_add(call_distinct(call), part_ids(part)[merge->at++]);
    if (merge->at == part->count) {
        merge->at = 0;
        merge->part++;
    }
    return merge->part == worker->server->worker_count;
}

/* The name that comes next of all pages, or an empty one: there is none. */
static struct span next_find(const struct worker *worker, const struct call *call,
                             const struct merge *merge) {
    struct span first = SPAN("");
    for (unsigned i = 0; i < worker->server->worker_count; i++) {
        const struct call_part *part = &call->parts[i];
        if (part->count == 0 || merge->next[i] == part_page(part)->count)
            continue;
        struct span name = page_name(part_page(part), merge->next[i]);
        if (first.len == 0 || name_order(name, first) < 0)
            first = name;
    }
    return first;
}

/* The pages that have that name next are past it. */
static void next_pass(const struct worker *worker, const struct call *call, struct merge *merge,
                      struct span passed) {
    for (unsigned i = 0; i < worker->server->worker_count; i++) {
        const struct call_part *part = &call->parts[i];
        while (part->count != 0 && merge->next[i] != part_page(part)->count &&
               span_equal(page_name(part_page(part), merge->next[i]), passed))
            merge->next[i]++;
    }
}

/* Writes one name more, or the end. True: it is written. */
static bool name_write(const struct worker *worker, const struct call *call, struct merge *merge) {
    struct builder *out = &merge->chain.out;
    struct span name = next_find(worker, call, merge);
    if (SHORTAGE(!chain_room(&merge->chain, 2 * builder_json_max(NAME_BYTES_MAX) + 64)))
        return true;
    if (merge->shown == 0) {
        builder_byte(out, '{');
        json_key_u64(out, "count", merge->count);
        json_key(out, "ids");
        builder_byte(out, '[');
    }
    if (name.len != 0 && merge->shown < call->limit) {
        json_comma(out);
        builder_json(out, name);
        next_pass(worker, call, merge, name);
        merge->last = name;
        merge->shown++;
        return false;
    }
    builder_byte(out, ']');
    json_key(out, "next");
    if (name.len != 0)
        builder_json(out, merge->last);
    else
        builder_text(out, "null");
    builder_byte(out, '}');
    return true;
}

/* A small step. True: it was the last one. */
static bool merge_step(const struct worker *worker, struct call *call, struct merge *merge) {
    switch (merge->stage) {
    case MERGE_CLEAR:
        if (distinct_clear(call_distinct(call)))
            merge->stage = MERGE_ADD;
        return false;
    case MERGE_ADD:
        if (hashes_add(worker, call, merge)) {
            merge->count = call_distinct(call)->count;
            merge->stage = MERGE_WRITE;
        }
        return false;
    case MERGE_WRITE:
        break;
    }
    return name_write(worker, call, merge);
}

static bool members_finish(struct worker *worker, struct call *call) {
    struct http_exchange *exchange = call->request;
    struct http_connection *http = exchange->http;
    bool begun = call->blocks[BLOCK_MERGE] != NULL;
    if (!begun && (api_call_failed(worker, call) || !merge_begin(worker, call))) {
        struct chain none = chain_empty(worker, call->reserve);
        none.failed = true;
        api_answer_chain(worker, exchange, NULL, &none);
    } else {
        while (!merge_step(worker, call, call_merge(call)))
            if (slice_over(worker))
                return false;
        api_answer_chain(worker, exchange, NULL, &call_merge(call)->chain);
    }
    api_call_end(worker, http);
    return true;
}

void api_get_group(struct worker *worker, struct http_exchange *exchange,
                   const struct route_request *request) {
    struct complaint *complaint = &http_context(worker)->complaint;
    struct query_field fields[] = {{.name = "limit"}, {.name = "after"}, {.name = "namespace"}};
    uint64_t limit = PAGE_DEFAULT;
    unsigned namespace = NAMESPACE_MAIN;
    const char *wrong = name_check(request->names[0]);
    bool good = query_read(request->http->query, request->texts, fields, 3, complaint) &&
                (!fields[0].given || query_u64(&fields[0], 1, PAGE_MAX, &limit, complaint)) &&
                query_namespace(&fields[2], &namespace, complaint);
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
    struct call *call = api_call_get(worker, exchange, false);
    if (SHORTAGE(call == NULL))
        return;
    struct span group = request->names[0];
    call->namespace = (uint8_t) namespace;
    call->argument = name_hash(NAME_GROUP, namespace, group);
    call->limit = (uint32_t)limit;
    memcpy(call->text, group.at, group.len);
    if (after.len != 0)
        memcpy(call->text + group.len, after.at, after.len);
    call->text_len[0] = (uint16_t)group.len;
    call->text_len[1] = (uint16_t)after.len;
    call->run = members_run;
    call->visit = members_visit;
    call->finish = members_finish;
    api_look_up_start(worker, call);
}
