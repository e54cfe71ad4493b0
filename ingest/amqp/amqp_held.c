#include "ingest/amqp/amqp_held.h"

#include "core/base/check.h"
#include "core/base/shortage.h"
#include "core/message.h"

struct held_entry {
    struct table_node node; /* the hash of an address: that is all that is known of it */
    struct list places;     /* of struct held_place, by the serial */
};

struct held_place {
    struct list link;
    struct held_entry *entry;
    struct held *held;
};

void held_set_init(struct held_set *set, struct account *account) {
    set->account = account;
    table_init(&set->entries);
    pool_init(&set->entry_pool, sizeof(struct held_entry));
}

void held_set_fini(struct held_set *set) {
    CHECK(set->entries.count == 0, "%u addresses are held", set->entries.count);
    table_fini(&set->entries);
    pool_fini(&set->entry_pool);
}

/* --- addresses -------------------------------------------------------------------------------- */

static uint32_t addresses_count(const struct message_parts *parts) {
    return parts->broadcast ? 1 : (uint32_t)parts->to_count + parts->group_count;
}

/* The n-th one. Two that have one hash hold each other up, and nothing worse. */
static uint64_t address_hash(const struct message_parts *parts, uint32_t n) {
    if (parts->broadcast)
        return name_hash(NAME_GROUP, parts->namespace, SPAN(""));
    if (n < parts->to_count)
        return name_hash(NAME_ID, parts->namespace, parts->to[n]);
    return name_hash(NAME_GROUP, parts->namespace, parts->groups[n - parts->to_count]);
}

static struct held_entry *entry_find(const struct held_set *set, uint64_t hash) {
    struct table_node *node = table_first(&set->entries, hash);
    return node == NULL ? NULL : container_of(node, struct held_entry, node);
}

bool held_set_has(const struct held_set *set, const struct message_parts *parts) {
    uint32_t count = set->entries.count == 0 ? 0 : addresses_count(parts);
    for (uint32_t n = 0; n < count; n++)
        if (entry_find(set, address_hash(parts, n)) != NULL)
            return true;
    return false;
}

/* --- entries ---------------------------------------------------------------------------------- */

static struct held_entry *entry_get(struct held_set *set, uint64_t hash) {
    struct held_entry *entry = entry_find(set, hash);
    if (entry != NULL)
        return entry;
    if (SHORTAGE(!account_take(set->account, sizeof(*entry))))
        return NULL;
    entry = pool_get(&set->entry_pool);
    if (SHORTAGE(entry == NULL)) {
        account_give(set->account, sizeof(*entry));
        return NULL;
    }
    entry->node.hash = hash;
    list_init(&entry->places);
    if (SHORTAGE(!table_add(&set->entries, &entry->node))) {
        pool_put(&set->entry_pool, entry);
        account_give(set->account, sizeof(*entry));
        return NULL;
    }
    return entry;
}

static void entry_put_if_empty(struct held_set *set, struct held_entry *entry) {
    if (!list_empty(&entry->places))
        return;
    table_remove(&set->entries, &entry->node);
    pool_put(&set->entry_pool, entry);
    account_give(set->account, sizeof(*entry));
}

static struct held_place *place_of(struct list *link) {
    return container_of(link, struct held_place, link);
}

/* By the serial: most come behind all others. */
static void place_add(struct held_entry *entry, struct held_place *place) {
    struct list *before = entry->places.prev;
    while (before != &entry->places && place_of(before)->held->serial > place->held->serial)
        before = before->prev;
    if (before != &entry->places)
        place->held->behind++;
    else if (!list_empty(&entry->places))
        place_of(entry->places.next)->held->behind++;
    list_add_head(before, &place->link);
}

static void place_remove(struct held_set *set, struct held_place *place) {
    struct held_entry *entry = place->entry;
    bool first = entry->places.next == &place->link;
    list_remove(&place->link);
    if (first && !list_empty(&entry->places))
        place_of(entry->places.next)->held->behind--;
    entry_put_if_empty(set, entry);
}

bool held_set_add(struct held_set *set, struct held *held, const struct message_parts *parts) {
    uint32_t count = addresses_count(parts), n = 0;
    struct held_place *places = memory_get(set->account, count * sizeof(*places));
    if (SHORTAGE(places == NULL))
        return false;
    held->places = places;
    held->behind = 0;
    for (; n < count; n++) {
        struct held_entry *entry = entry_get(set, address_hash(parts, n));
        if (SHORTAGE(entry == NULL))
            break;
        places[n] = (struct held_place){.entry = entry, .held = held};
        place_add(entry, &places[n]);
    }
    held->count = n;
    if (n == count)
        return true;
    while (n-- > 0)
        place_remove(set, &places[n]);
    memory_put(set->account, places, count * sizeof(*places));
    held->count = 0;
    return false;
}

void held_set_remove(struct held_set *set, struct held *held) {
    for (uint32_t n = 0; n < held->count; n++)
        place_remove(set, &held->places[n]);
    if (held->count != 0)
        memory_put(set->account, held->places, held->count * sizeof(*held->places));
    held->count = 0;
}
