#include "ha/redis/nodes.h"

#include "core/base/check.h"
#include "core/base/shortage.h"
#include "core/memory.h"

bool nodes_init(struct nodes *nodes, struct account *account) {
    const size_t counts = COUNTS_MAX * sizeof(struct count_place);
    const size_t looks = COUNTS_MAX * sizeof(struct look_place);
    *nodes = (struct nodes){.account = account};
    table_init(&nodes->runs);
    list_init(&nodes->order);
    nodes->counts = memory_get(account, counts);
    nodes->looks = memory_get(account, looks);
    if (nodes->counts == NULL || nodes->looks == NULL)
        return false;
    memset(nodes->counts, 0, counts);
    memset(nodes->looks, 0, looks);
    return true;
}

void nodes_fini(struct nodes *nodes) {
    if (nodes->account == NULL)
        return;
    while (!list_empty(&nodes->order))
        nodes_leave(nodes, container_of(nodes->order.next, struct peer_node, link));
    table_fini(&nodes->runs);
    if (nodes->counts != NULL)
        memory_put(nodes->account, nodes->counts, COUNTS_MAX * sizeof(struct count_place));
    if (nodes->looks != NULL)
        memory_put(nodes->account, nodes->looks, COUNTS_MAX * sizeof(struct look_place));
    nodes->account = NULL;
}

/* --- nodes ----------------------------------------------------------------------------------- */

/* A run is random, and its first half is enough to find it by. */
static uint64_t run_hash(const char run[WIRE_RUN_BYTES]) {
    uint64_t halves[2];
    memcpy(halves, run, sizeof(halves));
    return (halves[0] ^ halves[1] * UINT64_C(0x9E3779B97F4A7C15)) | 1;
}

struct peer_node *nodes_find(const struct nodes *nodes, const char run[WIRE_RUN_BYTES]) {
    struct table_node *at = table_first(&nodes->runs, run_hash(run));
    for (; at != NULL; at = table_next(at)) {
        struct peer_node *node = container_of(at, struct peer_node, node);
        if (memcmp(node->run, run, WIRE_RUN_BYTES) == 0)
            return node;
    }
    return NULL;
}

static struct peer_node *node_make(struct nodes *nodes, const char run[WIRE_RUN_BYTES]) {
    if (SHORTAGE(nodes->count == NODES_MAX))
        return NULL;
    struct peer_node *node = memory_get(nodes->account, sizeof(*node));
    if (SHORTAGE(node == NULL))
        return NULL;
    memset(node, 0, sizeof(*node));
    node->node.hash = run_hash(run);
    memcpy(node->run, run, WIRE_RUN_BYTES);
    list_init(&node->link);
    if (SHORTAGE(!table_add(&nodes->runs, &node->node))) {
        memory_put(nodes->account, node, sizeof(*node));
        return NULL;
    }
    nodes->count++;
    return node;
}

struct peer_node *nodes_hear(struct nodes *nodes, const char run[WIRE_RUN_BYTES], uint64_t now_ns) {
    struct peer_node *node = nodes_find(nodes, run);
    if (node == NULL)
        node = node_make(nodes, run);
    if (SHORTAGE(node == NULL))
        return NULL;
    node->heard_ns = now_ns;
    list_remove(&node->link);
    list_add_tail(&nodes->order, &node->link);
    return node;
}

void nodes_leave(struct nodes *nodes, struct peer_node *node) {
    list_remove(&node->link);
    table_remove(&nodes->runs, &node->node);
    nodes->count--;
    memory_put(nodes->account, node, sizeof(*node));
}

struct peer_node *nodes_silent(struct nodes *nodes, uint64_t now_ns) {
    if (list_empty(&nodes->order))
        return NULL;
    struct peer_node *first = container_of(nodes->order.next, struct peer_node, link);
    return first->heard_ns + NODES_SILENT_NS <= now_ns ? first : NULL;
}

const struct peer_node *nodes_namesake(const struct nodes *nodes, const struct peer_node *node) {
    for (const struct list *at = nodes->order.next; at != &nodes->order; at = at->next) {
        const struct peer_node *other = container_of(at, const struct peer_node, link);
        if (other != node && strcmp(other->name, node->name) == 0)
            return other;
    }
    return NULL;
}

/* --- messages -------------------------------------------------------------------------------- */

static uint64_t *word_of(struct node_window *window, uint64_t number) {
    return &window->seen[number % NODES_WINDOW / 64];
}

bool nodes_first(struct peer_node *node, uint64_t number) {
    struct node_window *window = &node->window;
    uint64_t bit = UINT64_C(1) << number % 64;
    if (window->top >= NODES_WINDOW && number <= window->top - NODES_WINDOW)
        return false;
    if (number > window->top) {
        if (number - window->top >= NODES_WINDOW)
            memset(window->seen, 0, sizeof(window->seen));
        else
            for (uint64_t i = window->top; i++ != number;)
                *word_of(window, i) &= ~(UINT64_C(1) << i % 64);
        window->top = number;
    }
    bool first = (*word_of(window, number) & bit) == 0;
    *word_of(window, number) |= bit;
    return first;
}

/* The first of the places that a key may have. */
static size_t places_of(uint64_t key) {
    return (key ^ key >> 32) % (COUNTS_MAX / COUNTS_WAYS) * COUNTS_WAYS;
}

/* Its place, or else the one that it gets: a free one, or whose last copy was sent longest ago. */
static struct count_place *count_place(struct nodes *nodes, uint64_t key) {
    struct count_place *at = &nodes->counts[places_of(key)], *oldest = at;
    for (unsigned i = 0; i < COUNTS_WAYS; i++) {
        if (at[i].key == key)
            return &at[i];
        if (at[i].sent_ns < oldest->sent_ns)
            oldest = &at[i];
    }
    return oldest;
}

void nodes_number(struct nodes *nodes, uint64_t channel, unsigned shard, uint64_t now_ns,
                  struct wire_node *copy) {
    uint64_t key = (channel ^ shard * UINT64_C(0x9E3779B97F4A7C15)) | 1;
    struct count_place *place = count_place(nodes, key);
    if (place->key != key)
        *place = (struct count_place){.key = key, .epoch = ++nodes->epoch, .shard = shard};
    place->sent_ns = now_ns;
    copy->epoch = place->epoch;
    copy->count = ++place->count;
}

static uint64_t look_key(const char run[WIRE_RUN_BYTES], uint64_t epoch) {
    return (run_hash(run) ^ epoch * UINT64_C(0xD6E8FEB86659FD93)) | 1;
}

/* Likewise. */
static struct look_place *look_place(const struct nodes *nodes, uint64_t key) {
    struct look_place *at = &nodes->looks[places_of(key)], *oldest = at;
    for (unsigned i = 0; i < COUNTS_WAYS; i++) {
        if (at[i].key == key)
            return &at[i];
        if (at[i].used < oldest->used)
            oldest = &at[i];
    }
    return oldest;
}

struct look_place *nodes_look(struct nodes *nodes, const char run[WIRE_RUN_BYTES], uint64_t epoch) {
    uint64_t key = look_key(run, epoch);
    struct look_place *place = look_place(nodes, key);
    return place->key == key ? place : NULL;
}

uint64_t nodes_missing(struct nodes *nodes, uint64_t name, uint64_t since,
                       const struct wire_node *copy, bool *late) {
    uint64_t key = look_key(copy->run, copy->epoch);
    struct look_place *place = look_place(nodes, key);
    bool known = place->key == key && place->since == since && place->name == name;
    *late = known && copy->count <= place->count;
    nodes->used++;
    if (*late)
        return 0;
    uint64_t missing = known ? copy->count - place->count - 1 : 0;
    *place = (struct look_place){key, copy->count, since, name, nodes->used};
    return missing;
}
