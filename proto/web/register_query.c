#include "proto/web/register_query.h"

#include "proto/http/query.h"

static bool is_group(struct span name) {
    return span_equal(name, SPAN("group")) || span_equal(name, SPAN("groups"));
}

/* NULL, or what is wrong with it. */
static const char *take(struct register_query *result, struct span name, struct span value) {
    const char *wrong;
    if (is_group(name)) {
        wrong = name_check(value);
        if (wrong == NULL && name_list_add(&result->groups, value) == NAME_LIST_FULL)
            wrong = "names more than 64 groups";
    } else if (span_equal(name, SPAN("id"))) {
        wrong = result->id.at != NULL ? "is given twice" : name_check(value);
        result->id = value;
    } else if (span_equal(name, SPAN("token"))) {
        wrong = result->has_token ? "is given twice" : NULL;
        result->has_token = true;
    } else {
        wrong = "is not known here";
    }
    return wrong;
}

bool register_query_read(struct span query, struct builder *texts, struct register_query *result,
                         struct complaint *complaint) {
    struct span name, value;
    enum query_step step;
    result->id = span_of(NULL, 0);
    result->has_token = false;
    result->groups = (struct name_list){result->names, 0, GROUPS_PER_SESSION_MAX};
    while ((step = query_step(&query, texts, &name, &value, complaint)) == QUERY_PARAMETER) {
        const char *wrong = take(result, name, value);
        if (wrong == NULL)
            continue;
        query_complain(complaint, name, wrong);
        return false;
    }
    return step == QUERY_END;
}

_Static_assert(GROUPS_PER_SESSION_MAX == 64, "the complaint says so");
