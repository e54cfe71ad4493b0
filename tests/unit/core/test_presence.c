/* Which names are held, for the port that tells others: against a plain model, with connections
 * that come and go, commands that are confirmed late, and without memory. */
#include "tests/support/cmocka_first.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Memory, as long as there is any. */
static bool no_memory;

static void *fake_malloc(size_t bytes) {
    return no_memory ? NULL : malloc(bytes);
}

#include "core/base/table.h"
static bool no_table;
static bool fake_table_add(struct table *table, struct table_node *node) {
    return !no_table && table_add(table, node);
}

#define malloc fake_malloc
#define table_add fake_table_add
#include "core/presence.c"
#undef malloc
#undef table_add

#include "core/base/hash.h"

#define PORT 3

static struct server server;
static unsigned nudges[ENDPOINTS_MAX];
static struct presence *presence;

void server_nudge_endpoint(void *argument, unsigned index) {
    assert_ptr_equal(argument, &server);
    nudges[index]++;
}

static int setup(void **state) {
    (void)state;
    hash_init(NULL);
    memset(nudges, 0, sizeof(nudges));
    presence = presence_new(&server, PORT);
    assert_non_null(presence);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    no_memory = no_table = false;
    presence_free(presence);
    return 0;
}

static void begin(const char *text) {
    assert_true(presence_begin(presence, NAME_ID, span_text(text)));
}

static void end(const char *text) {
    presence_end(presence, NAME_ID, span_text(text));
}

/* Takes all, as a port whose commands are confirmed at once; what was told, as "+a-b", or
 * "=c" for one that went and came. */
static const char *taken(bool leaves, uint64_t *all) {
    static char text[256];
    struct presence_change changes[8];
    uint64_t last = 0;
    text[0] = '\0';
    unsigned count = presence_take(presence, leaves, changes, 8, &last);
    for (unsigned i = 0; i < count; i++) {
        size_t len = strlen(text);
        snprintf(text + len, sizeof(text) - len, "%c%.*s", "+-="[changes[i].news],
                 changes[i].name->len, changes[i].name->text);
        presence_let(presence, changes[i].name);
    }
    if (all != NULL)
        *all = last;
    return text;
}

static void test_a_name_comes_and_goes(void **state) {
    (void)state;
    uint64_t all = 0;
    presence_renew(presence, 0, 1);
    begin("a");
    assert_int_equal(nudges[PORT], 1);
    begin("a"); /* on another worker: nothing new to tell */
    begin("b"); /* the port will look all the same */
    assert_int_equal(nudges[PORT], 1);
    assert_int_equal(presence_begun(presence), 2);
    assert_string_equal(taken(false, &all), "+a+b");
    assert_int_equal(all, 2);
    assert_int_equal(presence_count(presence), 2);
    end("a");
    assert_int_equal(nudges[PORT], 1);
    end("a");
    assert_int_equal(nudges[PORT], 2);
    assert_int_equal(presence_count(presence), 2); /* others still send to it */
    assert_string_equal(taken(false, &all), "-a");
    assert_int_equal(presence_count(presence), 1);
    /* Gone and back before anybody looked: nothing was to be told. */
    end("b");
    begin("b");
    assert_int_equal(presence_begun(presence), 3);
    assert_string_equal(taken(false, &all), "=b");
    assert_int_equal(all, 3);
    end("b");
    assert_string_equal(taken(false, NULL), "-b");
    assert_int_equal(presence_count(presence), 0);
    /* The same text as an id and as a group is two names. */
    begin("c");
    assert_true(presence_begin(presence, NAME_GROUP, SPAN("c")));
    assert_int_equal(presence_count(presence), 2);
    end("c");
    presence_end(presence, NAME_GROUP, SPAN("c"));
    assert_int_equal(presence_count(presence), 0); /* never told */
}

static void test_a_hold(void **state) {
    (void)state;
    uint64_t since = 77;
    presence_renew(presence, 0, 1);
    assert_null(presence_hold(presence, NAME_ID, SPAN("a"), &since));
    assert_int_equal(since, 77);
    begin("a");
    assert_null(presence_hold(presence, NAME_GROUP, SPAN("a"), NULL));
    struct presence_name *name = presence_hold(presence, NAME_ID, SPAN("a"), &since);
    assert_non_null(name);
    assert_int_equal(since, 1);
    end("a");
    assert_int_equal(presence_count(presence), 1);
    begin("a");
    assert_ptr_equal(presence_hold(presence, NAME_ID, SPAN("a"), &since), name);
    assert_int_equal(since, 2);
    presence_let(presence, name);
    assert_string_equal(taken(false, NULL), "+a");
    end("a");
    assert_string_equal(taken(false, NULL), "-a");
    assert_int_equal(presence_count(presence), 1);
    presence_let(presence, name);
    assert_int_equal(presence_count(presence), 0);
    /* It is another one, though it is called the same. */
    begin("a");
    presence_let(presence, presence_hold(presence, NAME_ID, SPAN("a"), &since));
    assert_int_equal(since, 3);
    end("a");
}

static void test_without_a_connection(void **state) {
    (void)state;
    uint64_t all = 7;
    begin("a");
    end("a");
    assert_int_equal(presence_count(presence), 0);
    presence_renew(presence, 0, 1);
    begin("a");
    begin("b");
    begin("c");
    assert_string_equal(taken(false, NULL), "+a+b+c");
    presence_renew(presence, 0, 0);
    /* What ends now is told to nobody. */
    end("a");
    assert_int_equal(presence_count(presence), 2);
    presence_renew(presence, 0, 2);
    assert_string_equal(taken(false, &all), "+b+c");
    assert_int_equal(all, 4);
    /* The end was not told yet when the connection went: it has nobody to be told to. */
    end("b");
    presence_renew(presence, 0, 0);
    presence_renew(presence, 0, 3);
    assert_string_equal(taken(false, &all), "+c");
    assert_int_equal(presence_count(presence), 1);
    end("c");
    assert_string_equal(taken(false, &all), "-c");
}

/* --- shards ------------------------------------------------------------------------------------
 */

static unsigned shift; /* where names stand has changed */

/* By the first letter. */
static unsigned shard_of(void *argument, enum name_kind kind, struct span text) {
    (void)kind;
    assert_ptr_equal(argument, &shift);
    return ((unsigned)text.at[0] - 'a' + shift) % 2;
}

/* A shard that is lost concerns its own names alone. */
static void test_shards_come_and_go(void **state) {
    (void)state;
    uint64_t all = 0;
    shift = 0;
    presence_share(presence, 2, shard_of, &shift);
    presence_renew(presence, 0, 1);
    begin("a");
    begin("b");
    begin("c");
    /* The other one is not there: `b` is passed over, and all is told that can be. */
    assert_string_equal(taken(false, &all), "+a+c");
    assert_int_equal(all, 3);
    presence_renew(presence, 1, 2);
    assert_string_equal(taken(false, &all), "+b");
    presence_renew(presence, 0, 0);
    end("a");
    end("b");
    begin("d");
    assert_string_equal(taken(false, &all), "-b+d");
    assert_int_equal(all, 4);
    assert_int_equal(presence_count(presence), 2); /* c and d */
    begin("e");
    end("e");
    begin("e");
    assert_string_equal(taken(false, &all), "");
    presence_renew(presence, 0, 3);
    assert_string_equal(taken(false, &all), "+c+e");
    /* One that went and came, of each. */
    end("c");
    begin("c");
    end("d");
    begin("d");
    assert_string_equal(taken(false, &all), "=c=d");
    end("c");
    end("d");
    end("e");
    assert_string_equal(taken(false, NULL), "-c-d-e");
    assert_int_equal(presence_count(presence), 0);
}

/* Names that are another shard's from now on are subscribed there, and are nothing to the one that
 * they have left. */
static void test_names_move(void **state) {
    (void)state;
    shift = 0;
    presence_share(presence, 2, shard_of, &shift);
    presence_renew(presence, 0, 1);
    presence_renew(presence, 1, 2);
    begin("a");
    begin("b");
    assert_string_equal(taken(false, NULL), "+a+b");
    shift = 1;
    presence_renew(presence, 0, 1);
    presence_renew(presence, 1, 2);
    assert_string_equal(taken(false, NULL), "+a+b");
    presence_renew(presence, 0, 1);
    presence_renew(presence, 1, 2);
    assert_string_equal(taken(false, NULL), "");
    /* Nobody has it any more when it is to move. */
    end("a");
    shift = 0;
    assert_string_equal(taken(false, NULL), "");
    assert_int_equal(presence_count(presence), 1);
    end("b");
    shift = 1;
    assert_string_equal(taken(false, NULL), "-b");
    assert_int_equal(presence_count(presence), 0);
}

static void test_leaves(void **state) {
    (void)state;
    uint64_t all = 0;
    presence_renew(presence, 0, 1);
    begin("a");
    begin("b");
    assert_string_equal(taken(false, NULL), "+a+b");
    begin("c");
    presence_renew(presence, 0, 1);
    assert_string_equal(taken(true, &all), "-a-b");
    assert_int_equal(all, 3);
    begin("d");
    assert_string_equal(taken(true, &all), "");
    assert_int_equal(all, 4);
    assert_int_equal(presence_count(presence), 4);
    end("a");
    end("b");
    end("c");
    end("d");
    assert_int_equal(presence_count(presence), 0);
}

static void test_some_at_a_time(void **state) {
    (void)state;
    struct presence_change changes[2];
    uint64_t all = 7;
    presence_renew(presence, 0, 1);
    begin("a");
    begin("b");
    begin("c");
    assert_int_equal(presence_take(presence, false, changes, 2, &all), 2);
    assert_int_equal(all, 0);
    presence_let(presence, changes[0].name);
    presence_let(presence, changes[1].name);
    /* One more comes behind, so the last number is not known yet. */
    begin("d");
    assert_int_equal(presence_take(presence, false, changes, 1, &all), 1);
    assert_int_equal(all, 0);
    presence_let(presence, changes[0].name);
    assert_int_equal(presence_take(presence, false, changes, 2, &all), 1);
    assert_int_equal(all, 4);
    presence_let(presence, changes[0].name);
    end("a");
    end("b");
    end("c");
    end("d");
    assert_string_equal(taken(false, NULL), "-a-b-c-d");
}

static void test_readiness(void **state) {
    (void)state;
    assert_int_equal(presence_ready(presence), 0);
    presence_watch(presence, 1);
    presence_watch(presence, 2);
    presence_ready_to(presence, 0); /* nothing new */
    assert_int_equal(nudges[1] + nudges[2], 0);
    presence_ready_to(presence, 5);
    assert_int_equal(presence_ready(presence), 5);
    assert_true(nudges[1] == 1 && nudges[2] == 1 && nudges[PORT] == 0);
    /* Once. */
    presence_ready_to(presence, UINT64_MAX);
    assert_true(nudges[1] == 1 && nudges[2] == 1);
    presence_watch(presence, 2);
    presence_ready_to(presence, 6);
    assert_int_equal(presence_ready(presence), 6);
    assert_true(nudges[1] == 1 && nudges[2] == 2);
}

static void test_no_memory(void **state) {
    (void)state;
    presence_renew(presence, 0, 1);
    begin("a");
    no_memory = true;
    assert_false(presence_begin(presence, NAME_ID, SPAN("b")));
    begin("a"); /* needs none */
    no_memory = false;
    no_table = true;
    assert_false(presence_begin(presence, NAME_ID, SPAN("b")));
    no_table = false;
    assert_int_equal(presence_begun(presence), 1);
    assert_int_equal(presence_count(presence), 1);
    assert_string_equal(taken(false, NULL), "+a");
    end("a");
    end("a");
    assert_string_equal(taken(false, NULL), "-a");
}

/* --- against a model ---------------------------------------------------------------------------
 */

enum { NAMES = 12, UNDER_WAY = 64, STEPS = 200000 };

/* What is known of a name without the lists, numbers and holds of the table itself. */
static struct {
    unsigned holders;
    unsigned holds;      /* of commands and of publishes */
    unsigned subscribed; /* the connection whose last command was to subscribe it; 0: none */
    uint64_t begun;      /* the number of the last begin */
    bool told;           /* subscribed, and the command is confirmed */
    bool came;           /* and was not looked at since, as far as is known */
    struct presence_name *at;
} model[NAMES];

static struct command {
    unsigned name;
    bool subscribes;
    uint64_t all;      /* what is known to all once it is confirmed; 0: no more than before */
} commands[UNDER_WAY]; /* of one connection, in their order */
static unsigned command_count, connection, connections;
static uint64_t begun, known;
static unsigned publishes[NAMES]; /* that hold the name */

static uint64_t random_state = 88172645463325252u;

static unsigned roll(unsigned below) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)(random_state >> 20) % below;
}

static enum name_kind kind_of(unsigned name) {
    return name % 2 == 0 ? NAME_ID : NAME_GROUP;
}

/* Two names of each text, so that the kind counts. */
static struct span text_of(unsigned name) {
    static char texts[NAMES][NAME_BYTES_MAX];
    size_t len = name < 4 ? NAME_BYTES_MAX - name / 2 : 1 + name / 2;
    memset(texts[name], 'a' + (int)(name / 2), len);
    return span_of(texts[name], len);
}

static unsigned name_of(const struct presence_name *at) {
    for (unsigned i = 0; i < NAMES; i++)
        if (kind_of(i) == at->kind && span_equal(text_of(i), span_of(at->text, at->len)))
            return i;
    fail_msg("a name that nobody has");
    return 0;
}

/* The connection has gone: nothing of it is under way any more. */
static void commands_drop(void) {
    for (unsigned i = 0; i < command_count; i++) {
        model[commands[i].name].holds--;
        presence_let(presence, model[commands[i].name].at);
    }
    command_count = 0;
    known = 0;
    for (unsigned i = 0; i < NAMES; i++)
        model[i].told = false;
}

static void step_take(bool leaves) {
    struct presence_change changes[5];
    unsigned max = 1 + roll(5);
    uint64_t all = 0;
    if (connection == 0 || command_count + max > UNDER_WAY)
        return;
    unsigned count = presence_take(presence, leaves, changes, max, &all);
    assert_true(count <= max);
    for (unsigned i = 0; i < count; i++) {
        unsigned name = name_of(changes[i].name);
        bool wanted = model[name].holders != 0 && !leaves;
        bool same = (model[name].subscribed == connection) == wanted;
        assert_int_equal(changes[i].news, same     ? PRESENCE_CAME
                                          : wanted ? PRESENCE_SUBSCRIBE
                                                   : PRESENCE_UNSUBSCRIBE);
        /* Only what is not so already, or what has come. */
        assert_true(!same || (wanted && model[name].came));
        model[name].came = false;
        if (same) {
            presence_let(presence, changes[i].name);
            continue;
        }
        model[name].subscribed = wanted ? connection : 0;
        model[name].at = changes[i].name;
        model[name].holds++;
        commands[command_count++] = (struct command){.name = name, .subscribes = wanted};
    }
    if (all == 0)
        return;
    /* Then nothing is left that would have to be told. */
    assert_int_equal(all, begun);
    for (unsigned i = 0; i < NAMES; i++)
        assert_int_equal(model[i].subscribed == connection, model[i].holders != 0 && !leaves);
    if (command_count == 0)
        known = all;
    else
        commands[command_count - 1].all = all;
}

static void step_confirm(void) {
    if (command_count == 0)
        return;
    struct command command = commands[0];
    memmove(commands, commands + 1, --command_count * sizeof(commands[0]));
    model[command.name].told = command.subscribes;
    model[command.name].holds--;
    presence_let(presence, model[command.name].at);
    if (command.all != 0)
        known = command.all;
}

static void step_begin(unsigned name) {
    if (model[name].holders == 2)
        return;
    no_memory = roll(8) == 0;
    bool good = presence_begin(presence, kind_of(name), text_of(name));
    assert_true(good || no_memory);
    no_memory = false;
    if (good && model[name].holders++ == 0) {
        model[name].begun = ++begun;
        model[name].came = true;
    }
}

static void step_end(unsigned name) {
    if (model[name].holders == 0)
        return;
    presence_end(presence, kind_of(name), text_of(name));
    model[name].holders--;
}

/* A publish to the name begins, or is answered. */
static void step_hold(unsigned name) {
    uint64_t since = 0;
    if (publishes[name] != 0 && roll(3) != 0) {
        publishes[name]--;
        model[name].holds--;
        presence_let(presence, model[name].at);
        return;
    }
    struct presence_name *at = presence_hold(presence, kind_of(name), text_of(name), &since);
    if (model[name].holders + model[name].holds != 0)
        assert_non_null(at);
    if (at == NULL)
        return;
    assert_int_equal(name_of(at), name);
    assert_int_equal(since, model[name].begun);
    model[name].at = at;
    model[name].holds++;
    publishes[name]++;
}

static void step_connection(void) {
    connection = connection == 0 ? ++connections : 0;
    presence_renew(presence, 0, connection);
    commands_drop();
}

/* How many entries there must be; `*more`: that may wait to be looked at and freed. */
static unsigned entries(unsigned *more) {
    unsigned count = 0;
    *more = 0;
    for (unsigned i = 0; i < NAMES; i++) {
        bool is_subscribed = connection != 0 && model[i].subscribed == connection;
        bool is_there = model[i].holders + model[i].holds != 0 || is_subscribed;
        count += is_there;
        *more += !is_there && model[i].subscribed != 0;
    }
    return count;
}

static void check(void) {
    unsigned more, count = entries(&more);
    assert_in_range(presence_count(presence), count, count + more);
    assert_int_equal(presence_begun(presence), begun);
    if (connection != 0)
        for (unsigned i = 0; i < NAMES; i++)
            assert_false(model[i].holders != 0 && model[i].begun <= known && !model[i].told);
}

static void step(void) {
    unsigned name = roll(NAMES), what = roll(16);
    if (what < 4)
        step_begin(name);
    else if (what < 8)
        step_end(name);
    else if (what < 10)
        step_hold(name);
    else if (what < 13)
        step_take(false);
    else if (what < 15)
        step_confirm();
    else if (roll(20) == 0)
        step_connection();
    check();
}

static void test_against_a_model(void **state) {
    (void)state;
    for (unsigned i = 0; i < STEPS; i++)
        step();
    assert_true(connections > 100 && begun > 10000);
    /* All ends, and is told. */
    if (connection == 0)
        step_connection();
    for (unsigned i = 0; i < NAMES; i++) {
        while (model[i].holders != 0)
            step_end(i);
        for (; publishes[i] != 0; publishes[i]--)
            presence_let(presence, model[i].at);
    }
    for (unsigned i = 0; i < NAMES + UNDER_WAY; i++) {
        step_confirm();
        step_take(false);
    }
    while (command_count != 0)
        step_confirm();
    assert_int_equal(presence_count(presence), 0);
}

int main(void) {
#define ONE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        ONE(test_a_name_comes_and_goes), ONE(test_a_hold),     ONE(test_without_a_connection),
        ONE(test_shards_come_and_go),    ONE(test_names_move), ONE(test_leaves),
        ONE(test_some_at_a_time),        ONE(test_readiness),  ONE(test_no_memory),
        ONE(test_against_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
