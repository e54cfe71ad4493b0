/* list.h - an intrusive doubly linked ring; a node is in at most one list and knows only
 * neighbours.
 *
 * Threads: the owner's. Owns nothing. An unlinked node points to itself (list_init), so unlinking
 * twice is harmless and `list_linked` can be asked. */
#ifndef RINGPOST_CORE_BASE_LIST_H
#define RINGPOST_CORE_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next, *prev;
};

static inline void list_init(struct list *node) {
    node->next = node->prev = node;
}

static inline bool list_empty(const struct list *head) {
    return head->next == head;
}

static inline bool list_linked(const struct list *node) {
    return node->next != node;
}

static inline void list_add_tail(struct list *head, struct list *node) {
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

static inline void list_add_head(struct list *head, struct list *node) {
    list_add_tail(head->next, node);
}

static inline void list_remove(struct list *node) {
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init(node);
}

/* The first node, taken out; NULL when the list is empty. */
static inline struct list *list_pop(struct list *head) {
    struct list *node = head->next;
    if (node == head)
        return NULL;
    list_remove(node);
    return node;
}

/* All nodes of `from`, in their order, to the end of `to`, which is another list. */
static inline void list_append(struct list *to, struct list *from) {
    if (list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init(from);
}

#endif
