#include "proto/web/sio/sio_args.h"

#include "proto/http/query.h"
#include "proto/text/name_field.h"
#include "proto/text/percent.h"

/* `socketId` and `groupFlag` are words of `register` alone. */
#define WORDS(X)                                                                                   \
    X(ID, "id")                                                                                    \
    X(GROUP, "group")                                                                              \
    X(GROUPS, "groups")                                                                            \
    X(META, "meta")                                                                                \
    X(SOCKET_ID, "socketId")                                                                       \
    X(GROUP_FLAG, "groupFlag")

enum word {
#define WORD_ENUM(name, text) WORD_##name,
    WORDS(WORD_ENUM)
#undef WORD_ENUM
        WORD_COUNT
};
#define WORDS_OF_AUTH WORD_SOCKET_ID

static const struct span words[WORD_COUNT] = {
#define WORD_TEXT(name, text) [WORD_##name] = SPAN_INIT(text),
    WORDS(WORD_TEXT)
#undef WORD_TEXT
};

void sio_names_init(struct sio_names *names, struct sio_room *room) {
    *names = (struct sio_names){
        .groups = {room->groups, 0, SIO_GROUPS_MAX},
        .texts = builder_over(room->text, sizeof room->text),
    };
}

static enum word word_find(struct span name, unsigned count) {
    unsigned word = 0;
    while (word < count && !span_equal(name, words[word]))
        word++;
    return word == count ? WORD_COUNT : (enum word)word;
}

static bool refuse(struct complaint *complaint, enum word word, const char *wrong) {
    complaint_make(complaint, CODE_BAD_MESSAGE, words[word], "%.*s %s", SPAN_ARG(words[word]),
                   wrong);
    return false;
}

/* --- queries ---------------------------------------------------------------------------------- */

/* "a,b,c"; empty pieces are passed over. */
static bool groups_split(struct sio_names *names, enum word word, struct span value,
                         struct complaint *complaint) {
    while (value.len != 0) {
        const char *comma = memchr(value.at, ',', value.len);
        struct span name =
            span_of(value.at, comma == NULL ? value.len : (size_t)(comma - value.at));
        value = span_skip(value, name.len + (comma != NULL));
        if (name.len == 0)
            continue;
        const char *wrong = name_check(name);
        if (wrong != NULL)
            return refuse(complaint, word, wrong);
        if (name_list_add(&names->groups, name) == NAME_LIST_FULL)
            return refuse(complaint, word, "must hold at most 1000 entries");
    }
    return true;
}

/* The last values of what is known. False: an escape is bad. */
static bool query_values(struct span query, struct builder *texts,
                         struct span values[WORDS_OF_AUTH], bool given[WORDS_OF_AUTH],
                         struct complaint *complaint) {
    struct span name, value;
    enum query_step step;
    while ((step = query_step(&query, texts, &name, &value, complaint)) == QUERY_PARAMETER) {
        enum word word = word_find(name, WORDS_OF_AUTH);
        if (word == WORD_COUNT)
            continue;
        given[word] = true;
        values[word] = value;
    }
    return step == QUERY_END;
}

bool sio_names_query(struct sio_names *names, struct span query, struct complaint *complaint) {
    struct span values[WORDS_OF_AUTH];
    bool given[WORDS_OF_AUTH] = {false};
    if (!query_values(query, &names->texts, values, given, complaint))
        return false;
    if (given[WORD_ID]) {
        const char *wrong = name_check(values[WORD_ID]);
        if (wrong != NULL)
            return refuse(complaint, WORD_ID, wrong);
        names->id = values[WORD_ID];
    }
    if (given[WORD_GROUP] || given[WORD_GROUPS])
        names->groups.count = 0;
    for (unsigned word = WORD_GROUP; word <= WORD_GROUPS; word++)
        if (given[word] && !groups_split(names, (enum word)word, values[word], complaint))
            return false;
    if (!given[WORD_META])
        return true;
    const struct query_field meta = {.name = "meta", .given = true, .value = values[WORD_META]};
    names->meta_given = true;
    return query_bool(&meta, &names->meta, complaint);
}

bool sio_query_matters(struct span query) {
    struct span name, value;
    while (query_next(&query, &name, &value)) {
        /* One that is written with escapes may be any. */
        if (word_find(name, WORDS_OF_AUTH) != WORD_COUNT || memchr(name.at, '%', name.len) != NULL)
            return true;
    }
    return false;
}

/* --- objects ---------------------------------------------------------------------------------- */

static bool names_of(struct sio_names *names, enum word word, const struct json_value *value,
                     struct complaint *complaint) {
    const struct name_field field = {words[word], name_check, true};
    return name_field_names(&field, value, &names->texts, &names->groups, NULL, complaint);
}

/* `id` and `socketId` say the same. */
static bool id_of(struct sio_names *names, enum word word, const struct json_value *value,
                  bool *has, struct complaint *complaint) {
    const struct name_field field = {words[word], name_check, false};
    struct span id;
    if (!name_field_string(&field, value, &names->texts, &id, complaint))
        return false;
    if (*has && !span_equal(id, names->id))
        return refuse(complaint, word, "is given twice");
    *has = true;
    names->id = id;
    return true;
}

/* A valid object. */
static bool object_read(struct sio_names *names, struct span object, unsigned word_count,
                        struct complaint *complaint) {
    struct json_cursor cursor;
    struct json_value key, value;
    bool has_id = false, has_groups = false;
    json_open(&cursor, object);
    while (json_object_next(&cursor, &key, &value)) {
        enum word word = word_find(json_inside(&key), word_count);
        if (word == WORD_COUNT || value.kind == JSON_NULL)
            continue;
        switch (word) {
        case WORD_ID:
        case WORD_SOCKET_ID:
            if (!id_of(names, word, &value, &has_id, complaint))
                return false;
            break;
        case WORD_META:
            if (value.kind != JSON_TRUE && value.kind != JSON_FALSE)
                return refuse(complaint, word, "is neither true nor false");
            names->meta_given = true;
            names->meta = value.kind == JSON_TRUE;
            break;
        default:
            if (!has_groups)
                names->groups.count = 0;
            has_groups = true;
            if (!names_of(names, word, &value, complaint))
                return false;
            break;
        }
    }
    return true;
}

bool sio_names_auth(struct sio_names *names, struct span object, struct complaint *complaint) {
    return object_read(names, object, WORDS_OF_AUTH, complaint);
}

bool sio_names_register(struct sio_names *names, const struct json_value *argument,
                        struct complaint *complaint) {
    if (argument->kind == JSON_OBJECT)
        return object_read(names, argument->raw, WORD_COUNT, complaint);
    complaint_make(complaint, CODE_BAD_MESSAGE, SPAN(""), "register wants an object");
    return false;
}

bool sio_names_groups(struct sio_names *names, const struct json_value *argument,
                      struct complaint *complaint) {
    if (argument->kind == JSON_STRING || argument->kind == JSON_ARRAY)
        return names_of(names, WORD_GROUP, argument, complaint);
    complaint_make(complaint, CODE_BAD_MESSAGE, words[WORD_GROUP],
                   "group is neither a string nor a list of strings");
    return false;
}
