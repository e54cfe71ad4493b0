#include "ha/adapter/msgpack.h"

#include <mpack.h>

static bool item_read(const mpack_token_t *token, struct msgpack_item *item) {
    *item = (struct msgpack_item){.kind = MSGPACK_NIL};
    switch (token->type) {
    case MPACK_TOKEN_NIL:
        return true;
    case MPACK_TOKEN_BOOLEAN:
        item->kind = MSGPACK_BOOL;
        item->truth = mpack_unpack_boolean(*token);
        return true;
    case MPACK_TOKEN_UINT:
        item->kind = MSGPACK_NATURAL;
        item->natural = mpack_unpack_uint(*token);
        return true;
    case MPACK_TOKEN_SINT:
        item->kind = MSGPACK_NEGATIVE;
        item->negative = mpack_unpack_sint(*token);
        return true;
    case MPACK_TOKEN_FLOAT:
        item->kind = MSGPACK_REAL;
        item->real = mpack_unpack_float(*token);
        return true;
    case MPACK_TOKEN_ARRAY:
        item->kind = MSGPACK_ARRAY;
        item->count = token->length;
        return true;
    case MPACK_TOKEN_MAP:
        item->kind = MSGPACK_MAP;
        item->count = token->length;
        return true;
    case MPACK_TOKEN_STR:
        item->kind = MSGPACK_STR;
        return true;
    case MPACK_TOKEN_BIN:
        item->kind = MSGPACK_BIN;
        return true;
    case MPACK_TOKEN_EXT:
        item->kind = MSGPACK_EXT;
        /* libmpack tells 0 to 255. */
        item->ext_type = token->data.ext_type - (token->data.ext_type > 127 ? 256 : 0);
        return true;
    case MPACK_TOKEN_CHUNK:
        break;
    }
    return false;
}

bool msgpack_next(struct span *rest, struct msgpack_item *item) {
    mpack_tokbuf_t reader;
    mpack_token_t token;
    const char *at = rest->at;
    size_t left = rest->len;
    if (left == 0)
        return false;
    mpack_tokbuf_init(&reader);
    if (mpack_read(&reader, &at, &left, &token) != MPACK_OK || !item_read(&token, item))
        return false;
    if (item->kind == MSGPACK_STR || item->kind == MSGPACK_BIN || item->kind == MSGPACK_EXT) {
        if (token.length > left)
            return false;
        item->bytes = span_of(at, token.length);
        at += token.length;
        left -= token.length;
    }
    *rest = span_of(at, left);
    return true;
}

bool msgpack_pass(struct span *rest) {
    struct msgpack_item item;
    for (uint64_t wanted = 1; wanted != 0; wanted--) {
        if (wanted > rest->len || !msgpack_next(rest, &item)) /* each takes a byte */
            return false;
        if (item.kind == MSGPACK_ARRAY)
            wanted += item.count;
        else if (item.kind == MSGPACK_MAP)
            wanted += 2 * (uint64_t)item.count;
    }
    return true;
}

bool msgpack_text(struct span *rest, struct span *text) {
    struct span left = *rest;
    struct msgpack_item item;
    if (!msgpack_next(&left, &item) || item.kind != MSGPACK_STR)
        return false;
    *text = item.bytes;
    *rest = left;
    return true;
}

static void put(struct builder *out, mpack_token_t token) {
    mpack_tokbuf_t writer;
    char head[MPACK_MAX_TOKEN_LEN], *at = head;
    size_t left = sizeof(head);
    mpack_tokbuf_init(&writer);
    mpack_write(&writer, &at, &left, &token);
    builder_bytes(out, head, sizeof(head) - left);
}

void msgpack_put_nil(struct builder *out) {
    put(out, mpack_pack_nil());
}

void msgpack_put_bool(struct builder *out, bool truth) {
    put(out, mpack_pack_boolean(truth));
}

void msgpack_put_natural(struct builder *out, uint64_t value) {
    put(out, mpack_pack_uint(value));
}

void msgpack_put_integer(struct builder *out, int64_t value) {
    put(out, value < 0 ? mpack_pack_sint(value) : mpack_pack_uint((uint64_t)value));
}

void msgpack_put_real(struct builder *out, double value) {
    put(out, mpack_pack_float(value));
}

void msgpack_put_str(struct builder *out, struct span text) {
    put(out, mpack_pack_str((mpack_uint32_t)text.len));
    builder_span_add(out, text);
}

void msgpack_put_bin(struct builder *out, struct span bytes) {
    put(out, mpack_pack_bin((mpack_uint32_t)bytes.len));
    builder_span_add(out, bytes);
}

void msgpack_put_array(struct builder *out, uint32_t count) {
    put(out, mpack_pack_array(count));
}

void msgpack_put_map(struct builder *out, uint32_t count) {
    put(out, mpack_pack_map(count));
}
