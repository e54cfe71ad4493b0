/* api_groups.c - who is in a group; see api.h.
 *
 * Each worker walks through the group's sessions on it, a slice of each turn, marks the ids that it
 * has met, and keeps the hash of each (8 bytes an id) and the names that may be on the page. An id
 * may have sessions on several workers, so the owner counts different hashes, then merges the
 * pages, in slices too: nothing here takes longer in a turn because the group is large.
 *
 * Where other nodes take part, the hashes are such as are the same on all of them, up to EXACT_MAX
 * ids. What they tell becomes a part like the workers': hashes, and a page. */
#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/base/shortage.h"
#include "core/base/strbuf.h"
#include "core/call.h"
#include "core/server.h"
#include "ingest/api/api_nodes.h"
#include "ingest/api/distinct.h"
#include "ingest/api/page.h"
#include "proto/http/query.h"
#include "proto/text/base64.h"
#include "proto/text/json.h"
#include "proto/text/names.h"

#define PAGE_DEFAULT 100
/* Up to so many ids other nodes tell each, and those that come more than once are counted once.
 * Beyond that each node tells how many it has. */
#define EXACT_MAX 100000

/* The blocks of a part: `count` hashes, unless it is MORE_LARGE; a page. And of the call: a merge;
 * the hashes that it has met, unless they all come from one worker. */
enum { BLOCK_IDS, BLOCK_PAGE };
enum { BLOCK_MERGE, BLOCK_DISTINCT };
/* Of a part: it has more than EXACT_MAX ids, and nobody looks for the same at other nodes; ids of
 * other nodes that have so many. */
enum { MORE_LARGE, MORE_TOLD };

static struct span call_group(const struct call *call) {
    return api_call_name(call, 0);
}

/* Only ids behind this one are on the page. */
static struct span call_after(const struct call *call) {
    return api_call_name(call, 1);
}

static uint64_t group_hash(const struct call *call) {
    return name_hash(NAME_GROUP, call->namespace, call_group(call));
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
    struct span text = span_of(id->text, id->len);
    bool shared = part->call->wide && part->more[MORE_LARGE] == 0;
    part_ids(part)[part->count++] = shared ? hash_content(text).low : id->node.hash;
    if (name_order(text, call_after(part->call)) > 0)
        page_offer(part_page(part), text);
    return true;
}

/* False: there is nobody to look at, or no memory to do so. */
static bool members_begin(struct worker *worker, struct call *call, struct call_part *part) {
    const struct name *group =
        directory_find(worker, NAME_GROUP, call->namespace, group_hash(call), call_group(call));
    if (group == NULL)
        return false;
    part->more[MORE_LARGE] = group->session_count > EXACT_MAX;
    uint32_t max = group->session_count < call->limit + 1 ? group->session_count : call->limit + 1;
    part->blocks[BLOCK_IDS] =
        chunk_get(&worker->endpoint, group->session_count * sizeof(uint64_t), call->reserve);
    part->blocks[BLOCK_PAGE] = chunk_get(&worker->endpoint, page_bytes(max), call->reserve);
    part->failed = part->blocks[BLOCK_IDS] == NULL || part->blocks[BLOCK_PAGE] == NULL;
    if (SHORTAGE(part->failed))
        return false;
    page_over(part->blocks[BLOCK_PAGE]->text, max);
    /* After four thousand million looks an id could be taken for one that was met. */
    worker->calls.stamp += worker->calls.stamp == UINT32_MAX ? 2 : 1;
    return true;
}

static bool members_run(struct worker *worker, struct call *call, struct call_part *part) {
    if (call->namespaces == 0 || (!part->begun && !members_begin(worker, call, part)))
        return true;
    if (!call_walk(worker, part, NAME_GROUP, call->namespace, group_hash(call), call_group(call)))
        return false;
    page_sort(part_page(part));
    return true;
}

/* --- between nodes ---------------------------------------------------------------------------- */

#define LINE_HASHES 512
#define LINE_NAMES 32

static void hashes_tell(const struct call_part *part, struct chain *out) {
    for (uint64_t at = 0; at < part->count; at += LINE_HASHES) {
        uint64_t left = part->count - at, count = left < LINE_HASHES ? left : LINE_HASHES;
        struct span bytes = span_of((const char *)(part_ids(part) + at), count * sizeof(uint64_t));
        if (SHORTAGE(!chain_room(out, base64_len(bytes.len) + 32)))
            return;
        builder_text(&out->out, "{\"ids\":\"");
        base64_encode(&out->out, bytes);
        builder_text(&out->out, "\"}\n");
    }
}

static void page_tell(const struct page *page, struct chain *out) {
    for (uint32_t at = 0; at < page->count;) {
        if (SHORTAGE(!chain_room(out, LINE_NAMES * (builder_json_max(NAME_BYTES_MAX) + 1) + 32)))
            return;
        builder_text(&out->out, "{\"page\":[");
        for (unsigned i = 0; i < LINE_NAMES && at < page->count; i++) {
            json_comma(&out->out);
            builder_json(&out->out, page_name(page, at++));
        }
        builder_text(&out->out, "]}\n");
    }
}

static void members_tell(struct endpoint *endpoint, struct call *call, struct chain *out) {
    uint64_t count = 0, large = 0;
    unsigned workers = endpoint->server->worker_count;
    for (unsigned i = 0; i < workers; i++) {
        count += call->parts[i].count;
        large |= call->parts[i].more[MORE_LARGE];
    }
    out->failed |= api_call_failed(call);
    if (count == 0 || out->failed)
        return;
    large |= count > EXACT_MAX;
    for (unsigned i = 0; i < workers; i++) {
        if (call->parts[i].count == 0)
            continue;
        if (!large)
            hashes_tell(&call->parts[i], out);
        page_tell(part_page(&call->parts[i]), out);
    }
    if (large && !SHORTAGE(!chain_room(out, 64))) {
        builder_byte(&out->out, '{');
        json_key_u64(&out->out, "count", count);
        builder_text(&out->out, "}\n");
    }
}

/* Hashes of a line, behind those that are there. */
static void hashes_take(struct call_part *part, const struct json_value *value) {
    uint64_t *ids = part_ids(part);
    size_t left = part->blocks[BLOCK_IDS]->cap - part->count * sizeof(*ids);
    struct builder out = builder_over((char *)(ids + part->count), left);
    if (value->kind == JSON_STRING && base64_decode(json_inside(value), &out) == NULL)
        part->count += out.len / sizeof(*ids);
}

/* Names of a line; each node has a page of its own, and many may be on several. */
static void names_take(struct call_part *part, struct distinct *met,
                       const struct json_value *array) {
    struct json_cursor cursor;
    struct json_value value;
    char room[NAME_BYTES_MAX];
    if (json_open(&cursor, array->raw) != JSON_ARRAY)
        return;
    while (met->count < met->mask / 2 && json_array_next(&cursor, &value)) {
        struct builder scratch = builder_over(room, sizeof(room));
        struct span name;
        if (value.kind == JSON_STRING && json_text(&value, &scratch, &name) == NULL &&
            name_check(name) == NULL && name_order(name, call_after(part->call)) > 0 &&
            distinct_add(met, hash64(name)))
            page_offer(part_page(part), name);
    }
}

static void line_take(struct call_part *part, struct distinct *met, struct span line) {
    struct json_cursor cursor;
    struct json_value key, value;
    uint64_t count;
    if (json_open(&cursor, line) != JSON_OBJECT || !json_object_next(&cursor, &key, &value))
        return;
    if (span_equal(json_inside(&key), SPAN("ids"))) {
        hashes_take(part, &value);
    } else if (span_equal(json_inside(&key), SPAN("page"))) {
        names_take(part, met, &value);
    } else if (span_equal(json_inside(&key), SPAN("count")) && value.kind == JSON_NUMBER &&
               json_u64(value.raw, &count)) {
        part->more[MORE_LARGE] = 1;
        part->more[MORE_TOLD] += count;
    }
}

/* So many hashes are looked at between two looks at the clock. */
#define ADD_HASHES 32

struct merge {
    enum { MERGE_READY, MERGE_TAKE, MERGE_CLEAR, MERGE_ADD, MERGE_WRITE } stage;
    struct api_lines lines; /* TAKE: of other nodes */
    unsigned part;          /* ADD: whose hashes are being added */
    uint64_t at;            /* of those, the next */
    uint64_t count;
    uint32_t next[ENDPOINTS_MAX]; /* WRITE: the next name of each page */
    uint32_t shown;
    bool complete, exact;
    struct span last; /* that was shown; in its page */
    struct chain chain;
};

static struct merge *call_merge(const struct call *call) {
    return (struct merge *)(void *)call->blocks[BLOCK_MERGE]->text;
}

static struct distinct *call_distinct(const struct call *call) {
    return (struct distinct *)(void *)call->blocks[BLOCK_DISTINCT]->text;
}

/* Room for so many hashes to be told apart. False: there is no memory. */
static bool distinct_begin(struct worker *worker, struct call *call, uint64_t hashes) {
    chunk_put(call->blocks[BLOCK_DISTINCT]);
    call->blocks[BLOCK_DISTINCT] =
        chunk_get(&worker->endpoint, distinct_bytes(hashes), call->reserve);
    if (SHORTAGE(call->blocks[BLOCK_DISTINCT] == NULL))
        return false;
    distinct_over(call_distinct(call), hashes);
    return true;
}

/* What other nodes have told is to be a part like a worker's. False: there is no memory. */
static bool others_begin(struct worker *worker, struct call *call, struct call_part *part) {
    uint64_t bytes = 0, quotes = 0; /* two of each name */
    for (const struct chunk *chunk = part->text.first; chunk != NULL; chunk = chunk->next) {
        bytes += chunk->len;
        for (const char *at = chunk->text, *end = at + chunk->len;
             (at = memchr(at, '"', (size_t)(end - at))) != NULL; at++)
            quotes++;
    }
    uint32_t max = call->limit + 1;
    part->blocks[BLOCK_IDS] = chunk_get(&worker->endpoint, bytes, call->reserve);
    part->blocks[BLOCK_PAGE] = chunk_get(&worker->endpoint, page_bytes(max), call->reserve);
    if (SHORTAGE(part->blocks[BLOCK_IDS] == NULL) || SHORTAGE(part->blocks[BLOCK_PAGE] == NULL))
        return false;
    page_over(part->blocks[BLOCK_PAGE]->text, max);
    return distinct_begin(worker, call, quotes / 2);
}

/* False: there is no memory. */
static bool merge_begin(struct worker *worker, struct call *call) {
    struct call_part *others = call_others(call, worker->server->worker_count);
    call->blocks[BLOCK_MERGE] = chunk_get(&worker->endpoint, sizeof(struct merge), call->reserve);
    if (SHORTAGE(call->blocks[BLOCK_MERGE] == NULL))
        return false;
    struct merge *merge = call_merge(call);
    *merge = (struct merge){.stage = MERGE_READY,
                            .exact = true,
                            .chain = chain_empty(&worker->endpoint, call->reserve)};
    merge->complete = api_lines_begin(worker, call, &merge->lines);
    if (others == NULL || others->text.first == NULL)
        return true;
    merge->stage = MERGE_TAKE;
    return others_begin(worker, call, others);
}

/* All parts are there. False: there is no memory to count them. */
static bool merge_plan(struct worker *worker, struct call *call, struct merge *merge) {
    unsigned parts = 0;
    uint64_t hashes = 0, told = 0;
    bool large = false;
    for (unsigned i = 0; i < call->part_count; i++) {
        const struct call_part *part = &call->parts[i];
        hashes += part->count;
        told += part->more[MORE_TOLD];
        parts += part->count + part->more[MORE_TOLD] != 0;
        large |= part->more[MORE_LARGE] != 0;
    }
    merge->stage = MERGE_WRITE;
    merge->count = hashes + told;
    if (call->wide && (large || hashes > EXACT_MAX)) {
        merge->exact = parts <= 1 && told == 0;
        return true;
    }
    if (parts <= 1 && call->part_count == worker->server->worker_count)
        return true;
    merge->stage = MERGE_CLEAR;
    return distinct_begin(worker, call, hashes);
}

/* Adds some hashes more. True: all were. */
static bool hashes_add(struct call *call, struct merge *merge) {
    const struct call_part *part = &call->parts[merge->part];
    for (unsigned i = 0; i < ADD_HASHES && merge->at < part->count; i++)
        (void)distinct_add(call_distinct(call), part_ids(part)[merge->at++]);
    if (merge->at == part->count) {
        merge->at = 0;
        merge->part++;
    }
    return merge->part == call->part_count;
}

/* The name that comes next of all pages, or an empty one: there is none. */
static struct span next_find(const struct call *call, const struct merge *merge) {
    struct span first = SPAN("");
    for (unsigned i = 0; i < call->part_count; i++) {
        const struct call_part *part = &call->parts[i];
        if (part->blocks[BLOCK_PAGE] == NULL || merge->next[i] == part_page(part)->count)
            continue;
        struct span name = page_name(part_page(part), merge->next[i]);
        if (first.len == 0 || name_order(name, first) < 0)
            first = name;
    }
    return first;
}

/* The pages that have that name next are past it. */
static void next_pass(const struct call *call, struct merge *merge, struct span passed) {
    for (unsigned i = 0; i < call->part_count; i++) {
        const struct call_part *part = &call->parts[i];
        while (part->blocks[BLOCK_PAGE] != NULL && merge->next[i] != part_page(part)->count &&
               span_equal(page_name(part_page(part), merge->next[i]), passed))
            merge->next[i]++;
    }
}

/* Writes one name more, or the end. True: it is written. */
static bool name_write(const struct call *call, struct merge *merge) {
    struct builder *out = &merge->chain.out;
    struct span name = next_find(call, merge);
    if (SHORTAGE(!chain_room(&merge->chain, 2 * builder_json_max(NAME_BYTES_MAX) + 64)))
        return true;
    if (merge->shown == 0) {
        builder_byte(out, '{');
        json_key_u64(out, "count", merge->count);
        if (!merge->exact)
            builder_text(out, ",\"exact\":false");
        json_key(out, "ids");
        builder_byte(out, '[');
    }
    if (name.len != 0 && merge->shown < call->limit) {
        json_comma(out);
        builder_json(out, name);
        next_pass(call, merge, name);
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
    if (!merge->complete)
        json_key_text(out, "cluster", SPAN("unavailable"));
    builder_byte(out, '}');
    return true;
}

/* One line more of other nodes. False: there are no more. */
static bool others_take(const struct worker *worker, struct call *call, struct merge *merge) {
    struct call_part *part = call_others(call, worker->server->worker_count);
    struct span line;
    if (api_line_next(&merge->lines, &line)) {
        line_take(part, call_distinct(call), line);
        return true;
    }
    page_sort(part_page(part));
    return false;
}

/* A small step. True: it was the last one, or there is no memory. */
static bool merge_step(struct worker *worker, struct call *call, struct merge *merge) {
    switch (merge->stage) {
    case MERGE_TAKE:
        if (distinct_clear(call_distinct(call)) && !others_take(worker, call, merge))
            merge->stage = MERGE_READY;
        return false;
    case MERGE_READY:
        merge->chain.failed = !merge_plan(worker, call, merge);
        return merge->chain.failed;
    case MERGE_CLEAR:
        if (distinct_clear(call_distinct(call)))
            merge->stage = MERGE_ADD;
        return false;
    case MERGE_ADD:
        if (hashes_add(call, merge)) {
            merge->count = call_distinct(call)->count;
            merge->stage = MERGE_WRITE;
        }
        return false;
    case MERGE_WRITE:
        break;
    }
    return name_write(call, merge);
}

static bool members_finish(struct worker *worker, struct call *call) {
    struct http_exchange *exchange = call->request;
    struct http_connection *http = exchange->http;
    bool begun = call->blocks[BLOCK_MERGE] != NULL;
    if (!begun && (api_call_failed(call) || !merge_begin(worker, call))) {
        struct chain none = chain_empty(&worker->endpoint, call->reserve);
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

const struct api_kind api_group_kind = {
    .nodes = {CALL_GROUP, api_ask, members_tell},
    .what = "group",
    .names = {{"group", name_check, false}, {"after", name_check, true}},
    .in_namespace = true,
    .run = members_run,
    .visit = members_visit,
};

void api_get_group(struct worker *worker, struct http_exchange *exchange,
                   const struct route_request *request) {
    struct complaint *complaint = &http_context(worker)->complaint;
    struct query_field fields[] = {{.name = "limit"}, {.name = "after"}, {.name = "namespace"}};
    uint64_t limit = PAGE_DEFAULT;
    unsigned namespace = NAMESPACE_MAIN;
    const char *wrong = name_check(request->names[0]);
    bool good = query_read(request->http->query, request->texts, fields, 3, complaint) &&
                (!fields[0].given || query_u64(&fields[0], 1, API_PAGE_MAX, &limit, complaint)) &&
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
    const struct span names[2] = {request->names[0], after};
    struct call *call = api_kind_get(worker, exchange, &api_group_kind, names, namespace, limit);
    if (SHORTAGE(call == NULL))
        return;
    call->finish = members_finish;
    api_look_up_start(worker, call);
}
