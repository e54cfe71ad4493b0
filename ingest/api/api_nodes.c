#include "ingest/api/api_nodes.h"

#include "core/base/check.h"
#include "core/base/shortage.h"
#include "core/base/strbuf.h"
#include "core/namespaces.h"
#include "core/server.h"
#include "proto/text/json.h"

static const struct api_kind *const kinds[] = {&api_client_kind, &api_close_kind,
                                               &api_join_kind,   &api_leave_kind,
                                               &api_group_kind,  &api_message_kind};

static const struct api_kind *kind_of(const struct call *call) {
    return container_of(call->nodes, const struct api_kind, nodes);
}

/* --- the call --------------------------------------------------------------------------------- */

struct span api_call_name(const struct call *call, unsigned index) {
    return span_of(call->text + (index == 0 ? 0 : call->text_len[0]), call->text_len[index]);
}

static void call_fill(struct call *call, const struct api_kind *kind, const struct span names[2],
                      unsigned namespace, uint64_t limit) {
    CHECK(names[0].len + names[1].len <= sizeof(call->text), "names of a call are too long");
    for (unsigned i = 0; i < 2; i++) {
        if (names[i].len != 0)
            memcpy(call->text + (i == 0 ? 0 : names[0].len), names[i].at, names[i].len);
        call->text_len[i] = (uint16_t)names[i].len;
    }
    call->namespace = (uint8_t) namespace;
    call->namespaces = (uint8_t)(kind->in_namespace ? 1 : namespaces_count());
    call->limit = (uint32_t)limit;
    call->run = kind->run;
    call->visit = kind->visit;
}

struct call *api_kind_get(struct worker *worker, struct http_exchange *exchange,
                          const struct api_kind *kind, const struct span names[2],
                          unsigned namespace, uint64_t limit) {
    struct call *call = api_call_get(worker, exchange, &kind->nodes, kind->reserve);
    if (!SHORTAGE(call == NULL))
        call_fill(call, kind, names, namespace, limit);
    return call;
}

/* --- what is asked ---------------------------------------------------------------------------- */

void api_ask(const struct call *call, struct builder *out) {
    const struct api_kind *kind = kind_of(call);
    builder_byte(out, '{');
    json_key_text(out, "what", span_text(kind->what));
    for (unsigned i = 0; i < 2; i++)
        if (kind->names[i].field != NULL)
            json_key_text(out, kind->names[i].field, api_call_name(call, i));
    if (kind->in_namespace)
        json_key_text(out, "namespace", namespace_name(call->namespace));
    if (call->limit != 0)
        json_key_u64(out, "limit", call->limit);
    builder_byte(out, '}');
}

/* A text that the object has; false: it is none. */
static bool text_find(struct span object, const char *name, struct builder *scratch,
                      struct span *text) {
    struct json_value value;
    return json_find(object, name, &value) && value.kind == JSON_STRING &&
           json_text(&value, scratch, text) == NULL;
}

static bool names_read(struct span asked, const struct api_kind *kind, struct builder *scratch,
                       struct span names[2]) {
    for (unsigned i = 0; i < 2; i++) {
        const struct api_name *name = &kind->names[i];
        names[i] = SPAN("");
        if (name->field == NULL)
            continue;
        if (!text_find(asked, name->field, scratch, &names[i]))
            return false;
        if ((names[i].len != 0 || !name->may_be_empty) && name->check(names[i]) != NULL)
            return false;
    }
    return true;
}

struct call *api_call_of(struct endpoint *endpoint, struct span asked) {
    char room[CALL_ASK_BYTES];
    struct builder scratch = builder_over(room, sizeof(room));
    struct span what, names[2], namespace_text;
    struct json_value limit_text;
    uint64_t limit = 0;
    unsigned namespace = NAMESPACE_MAIN;
    const struct api_kind *kind = NULL;
    if (!text_find(asked, "what", &scratch, &what))
        return NULL;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
        if (span_equal(what, span_text(kinds[i]->what)))
            kind = kinds[i];
    if (kind == NULL || !names_read(asked, kind, &scratch, names))
        return NULL;
    if (json_find(asked, "limit", &limit_text) &&
        (limit_text.kind != JSON_NUMBER || !json_u64(limit_text.raw, &limit) ||
         limit > API_PAGE_MAX))
        return NULL;
    /* A namespace that is not one here has nobody in it. */
    bool known = !kind->in_namespace || (text_find(asked, "namespace", &scratch, &namespace_text) &&
                                         namespace_find(namespace_text, &namespace));
    struct call *call = call_get(endpoint, &kind->nodes, kind->reserve);
    if (SHORTAGE(call == NULL))
        return NULL;
    call_fill(call, kind, names, namespace, limit);
    if (!known)
        call->namespaces = 0;
    return call;
}

/* --- what they say ---------------------------------------------------------------------------- */

bool api_lines_begin(const struct worker *worker, struct call *call, struct api_lines *lines) {
    const struct call_part *part = call_others(call, worker->server->worker_count);
    *lines = (struct api_lines){.chunk = part == NULL ? NULL : part->text.first};
    return part == NULL || !part->missing;
}

bool api_line_next(struct api_lines *lines, struct span *line) {
    while (lines->chunk != NULL && lines->at == lines->chunk->len) {
        lines->chunk = lines->chunk->next;
        lines->at = 0;
    }
    if (lines->chunk == NULL)
        return false;
    const char *at = lines->chunk->text + lines->at;
    size_t left = lines->chunk->len - lines->at;
    const char *end = memchr(at, '\n', left);
    size_t len = end == NULL ? left : (size_t)(end - at);
    *line = span_of(at, len);
    lines->at += len + (end != NULL);
    return true;
}

uint64_t api_line_u64(struct span line, const char *name) {
    struct json_value value;
    uint64_t number = 0;
    if (json_find(line, name, &value) && value.kind == JSON_NUMBER && !json_u64(value.raw, &number))
        number = 0;
    return number;
}

bool api_line_value(struct span line, const char *name, struct span *value) {
    struct json_value found;
    if (!json_find(line, name, &found))
        return false;
    *value = found.raw;
    return true;
}
