/* test_settings_reload.c - settings as a whole: reloads, pages, round trips, mangled files. */
#include "main/settings/settings.c"
#include "main/settings/settings_apply.c"
#include "main/settings/settings_finish.c"
#include "main/settings/settings_read.c"
#include "main/settings/settings_show.c"
#include "main/settings/settings_table.c"
#include "main/settings/settings_value.c"
#include "tests/support/settings_load.h"

#include <ctype.h>
#include <sys/stat.h>

/* What check-config prints as values is what a file may hold: written and read again it is the
 * same. */
static void test_round_trip(void **state) {
    struct load load = {.flags = {"--heartbeat=0.125", "--rate-limit=2.5", "--max-per-address=7",
                                  "--cors=*", "--web=[::1]:0,127.0.0.1:9", "--tcp=off",
                                  "--proxy-protocol=::/0,10.0.0.0/8", "--workers=3", "--cpus=1-2,5",
                                  "--node=a.b_c-d", "--log-format=json", "--ports-file=/tmp/x y",
                                  "--dedup-window=0", "--memory=1G"}};
    static char values[SETTINGS][200];
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    (void)state;
    assert_true(load_it(&load));
    for (unsigned id = 0; id < SETTINGS; id++) {
        setting_format(&settings, (enum setting_id)id, values[id], sizeof(values[id]));
        if (strcmp(values[id], "-") != 0)
            fprintf(out, "%s = %s\n", settings_table[id].name, values[id]);
    }
    fclose(out);
    settings_fini(&settings);
    struct load again = {.file = text};
    if (!load_it(&again))
        fail_msg("%s", settings.problems[0].text);
    for (unsigned id = SET_CONFIG + 1; id < SETTINGS; id++)
        expect_shown((enum setting_id)id, values[id]);
    settings_fini(&settings);
    free(text);
}

struct reports {
    unsigned applied, restart, problems;
    char last[SETTINGS_TEXT_MAX];
};

static void count_report(void *user, enum reload_verdict verdict, const char *name,
                         const char *detail) {
    struct reports *reports = user;
    reports->applied += verdict == RELOAD_APPLIED;
    reports->restart += verdict == RELOAD_NEEDS_RESTART;
    reports->problems += verdict == RELOAD_PROBLEM;
    snprintf(reports->last, sizeof(reports->last), "%s %s", name == NULL ? "" : name, detail);
    assert_true((name == NULL) == (verdict == RELOAD_PROBLEM));
}

static void test_reload(void **state) {
    struct load load = {.flags = {"--heartbeat=7"},
                        .file = "api-key = one\ndrain-timeout = 5\nheartbeat=6\nnode=n\n"};
    struct config next, first;
    struct reports reports = {0};
    (void)state;
    assert_true(load_it(&load));
    first = settings.config;

    assert_true(settings_reload(&settings, &next, count_report, &reports));
    assert_int_equal(reports.applied + reports.restart + reports.problems, 0);
    assert_memory_equal(&next, &first, sizeof(next)); /* equal strings are the same string */

    file_write(SPAN("api-key = two\ndrain-timeout = 1\nheartbeat=5\nworkers=1\nlog-level=debug\n"
                    "cors=https://a.b\nnode=n\n"));
    assert_true(settings_reload(&settings, &next, count_report, &reports));
    assert_int_equal(reports.applied, 4);
    assert_int_equal(reports.restart, 1); /* workers; the CPUs that go with them are not told */
    assert_string_equal(next.api_keys[0], "two");
    assert_string_equal(first.api_keys[0], "one"); /* older configs stay valid */
    assert_true(next.drain_timeout_ns == NS_PER_S);
    assert_int_equal(next.log_level, LOG_DEBUG);
    assert_int_equal(next.origin_count, 1);
    assert_true(next.heartbeat_ns == 7 * NS_PER_S);
    assert_int_equal(next.workers, first.workers);
    assert_memory_equal(&settings.config, &first, sizeof(first)); /* other threads read it */

    /* As a whole or not at all. */
    reports = (struct reports){0};
    struct config kept = next;
    file_write(SPAN("api-key = three\nslow=x\nheartbeat=x\n"));
    assert_false(settings_reload(&settings, &next, count_report, &reports));
    assert_int_equal(reports.problems, 2);
    assert_int_equal(reports.applied + reports.restart, 0);
    assert_memory_equal(&next, &kept, sizeof(next));
    unlink(file_path);
    assert_false(settings_reload(&settings, &next, count_report, &reports));
    assert_memory_equal(&next, &kept, sizeof(next));

    /* It is compared with what holds, not with the start: going back is a change again. */
    reports = (struct reports){0};
    file_write(SPAN("api-key = one\ndrain-timeout = 5\nnode=n\n"));
    assert_true(settings_reload(&settings, &next, count_report, &reports));
    assert_int_equal(reports.applied, 4);
    assert_int_equal(reports.restart, 0);
    assert_memory_equal(&next, &first, offsetof(struct config, origins));
    assert_int_equal(next.origin_count, 0);

    /* Keys change by their text, and are not told. */
    reports = (struct reports){0};
    file_write(SPAN("api-key = four\ndrain-timeout = 5\nnode=n\n"));
    assert_true(settings_reload(&settings, &next, count_report, &reports));
    assert_int_equal(reports.applied, 1);
    assert_string_equal(reports.last, "api-key <1 key>");
    settings_fini(&settings);
}

static unsigned strings_count(void) {
    unsigned count = 0;
    for (const struct settings_string *at = settings.strings; at != NULL; at = at->next)
        count++;
    return count;
}

/* However often keys change, only those of the start and of now are kept. */
static void test_old_strings_are_forgotten(void **state) {
    struct load load = {.file = "api-key = first\ncors = https://a.b\n"};
    struct config next;
    struct reports reports = {0};
    (void)state;
    assert_true(load_it(&load));
    unsigned least = strings_count();
    for (unsigned n = 0; n < 100; n++) {
        char text[128];
        snprintf(text, sizeof(text), "api-key = key-%u\ncors = https://%u.b\n", n, n);
        file_write(span_text(text));
        assert_true(settings_reload(&settings, &next, count_report, &reports));
        snprintf(text, sizeof(text), "api-key = refused-%u\nslow = x\n", n);
        file_write(span_text(text));
        assert_false(settings_reload(&settings, &next, count_report, &reports));
        settings_forget(&settings);
        snprintf(text, sizeof(text), "key-%u", n);
        assert_string_equal(next.api_keys[0], text);
        assert_string_equal(settings.config.api_keys[0], "first");
    }
    assert_int_equal(strings_count(), least + 2);
    settings_fini(&settings);
}

/* Keys from a file of their own are exchanged by a reload, too. */
static void test_reload_of_a_key_file(void **state) {
    char path[] = "/tmp/test_settings_keys_XXXXXX", word[64];
    (void)state;
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "one\n", 4), 4);
    snprintf(word, sizeof(word), "--api-key-file=%s", path);
    struct load load = {.flags = {word}};
    struct config next;
    struct reports reports = {0};
    assert_true(load_it(&load));
    assert_int_equal(pwrite(fd, "two\n", 4, 0), 4);
    assert_true(settings_reload(&settings, &next, count_report, &reports));
    assert_int_equal(reports.applied, 1);
    assert_string_equal(reports.last, "api-key <1 key>");
    assert_string_equal(next.api_keys[0], "two");
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_false(settings_reload(&settings, &next, count_report, &reports));
    close(fd);
    unlink(path);
    settings_fini(&settings);
}

/* The script of --socketio-client is read again, byte for byte; who has an older config keeps the
 * older script. */
static void test_reload_of_a_script(void **state) {
    char path[] = "/tmp/test_settings_script_XXXXXX", word[64], told[96];
    (void)state;
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "one\0;", 5), 5);
    snprintf(word, sizeof(word), "--socketio-client=%s", path);
    snprintf(told, sizeof(told), "socketio-client %s", path);
    struct load load = {.flags = {word}};
    struct config next;
    struct reports reports = {0};
    assert_true(load_it(&load));
    struct config first = settings.config;
    assert_true(span_equal(first.socketio_script, SPAN("one\0;")));
    assert_int_equal(strlen(first.socketio_version), 34);
    assert_true(settings_reload(&settings, &next, count_report, &reports));
    assert_int_equal(reports.applied, 0);
    assert_int_equal(pwrite(fd, "two", 3, 0), 3);
    assert_true(settings_reload(&settings, &next, count_report, &reports));
    settings_forget(&settings);
    assert_int_equal(reports.applied, 1);
    assert_string_equal(reports.last, told);
    assert_true(span_equal(next.socketio_script, SPAN("two\0;")));
    assert_true(span_equal(first.socketio_script, SPAN("one\0;")));
    assert_string_not_equal(next.socketio_version, first.socketio_version);

    /* One that cannot be served changes nothing. */
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_false(settings_reload(&settings, &next, count_report, &reports));
    assert_int_equal(ftruncate(fd, 1024 * 1024 + 1), 0);
    assert_false(settings_reload(&settings, &next, count_report, &reports));
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_false(settings_reload(&settings, &next, count_report, &reports));
    assert_non_null(strstr(reports.last, "it is no file; name dist/"));
    assert_true(span_equal(settings.latest.socketio_script, SPAN("two\0;")));
    close(fd);
    unlink(path);
    settings_fini(&settings);
}

/* A file without its key, an emptied file: the node keeps what it has, of everything. */
static void test_the_last_key_stays(void **state) {
    struct load load = {.file = "api-key = one\nlog-level = debug\n"};
    struct config next = {.workers = 0};
    struct reports reports = {0};
    (void)state;
    assert_true(load_it(&load));
    file_write(SPAN("log-level = info\n"));
    assert_false(settings_reload(&settings, &next, count_report, &reports));
    assert_int_equal(reports.problems, 1);
    assert_int_equal(reports.applied, 0);
    assert_non_null(strstr(reports.last, "no key is left"));
    file_write(SPAN(""));
    assert_false(settings_reload(&settings, &next, count_report, &reports));
    assert_int_equal(settings.latest.api_key_count, 1);
    file_write(SPAN("api-key = two\n"));
    assert_true(settings_reload(&settings, &next, count_report, &reports));
    assert_string_equal(next.api_keys[0], "two");
    settings_fini(&settings);
}

static void test_pages(void **state) {
    char *help = printed(settings_print_help), *page = printed(settings_print_reference);
    (void)state;
    for (unsigned id = 0; id < SETTINGS; id++) {
        char flag[64];
        snprintf(flag, sizeof(flag), "--%s %s", settings_table[id].name, settings_table[id].value);
        bool hidden = (settings_table[id].traits & SETTING_HIDDEN) != 0 ||
                      settings_table[id].topic == TOPIC_TESTS;
        assert_int_equal(strstr(help, flag) != NULL, !hidden);
        snprintf(flag, sizeof(flag), "| `--%s` ", settings_table[id].name);
        assert_non_null(strstr(page, flag));
        assert_non_null(strstr(page, settings_table[id].environment));
    }
    for (const char *line = help; *line != '\0';) {
        size_t len = strcspn(line, "\n");
        assert_true(len <= HELP_COLUMNS);
        assert_true(len == 0 || line[len - 1] != ' ');
        line += len + (line[len] == '\n' ? 1 : 0);
    }
    FILE *file = fopen("docs/settings.md", "r");
    if (file == NULL)
        fail_msg("docs/settings.md: not found; tests run in the top folder of the project");
    size_t len = strlen(page);
    char *there = calloc(1, len + 2);
    assert_non_null(there);
    size_t got = fread(there, 1, len + 1, file);
    fclose(file);
    if (got != len || memcmp(there, page, len) != 0)
        fail_msg("docs/settings.md is old; ringpost --print-settings-reference > docs/settings.md");
    free(there);
    free(help);
    free(page);
}

/* Large messages make long turns, which whoever allows them should know, with figures. */
static void test_large_messages(void **state) {
    static const struct {
        const char *flag;
        bool remarked;
    } rows[] = {{"--max-message=1M", false}, {"--max-message=1048577", true}};
    (void)state;
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct load load = {.flags = {rows[i].flag, "--outbox-bytes=2M"}};
        assert_true(load_it(&load));
        assert_int_equal(settings.remark_count, rows[i].remarked);
        if (rows[i].remarked) {
            assert_non_null(strstr(settings.remarks[0], "max-message (1048577) makes turns long"));
            assert_non_null(strstr(settings.remarks[0], "ringpost_turn_longest_seconds"));
            assert_true(strlen(settings.remarks[0]) < 256); /* a line of the log cuts it */
        }
        settings_fini(&settings);
    }
}

/* The names of flag, variable and row belong together. */
static void test_table(void **state) {
    (void)state;
    for (unsigned id = 0; id < SETTINGS; id++) {
        const struct setting *setting = &settings_table[id];
        char name[64] = "RINGPOST_";
        size_t len = strlen(name);
        for (const char *at = setting->name; *at != '\0'; at++)
            name[len++] = *at == '-' || *at == '.' ? '_' : (char)toupper((unsigned char)*at);
        name[len] = '\0';
        assert_string_equal(name, setting->environment);
        assert_int_equal(settings_find(span_text(setting->name)), id);
        assert_null(settings_find_later(span_text(setting->name)));
    }
}

/* A file with cut and changed bytes: problems perhaps, a crash never, and no value out of its
 * range. */
static void test_mangled_file(void **state) {
    static const char seed[] = "tcp = 127.0.0.1:0, [::1]:7000\napi-key=abc # x\nmemory = 50%\n"
                               "heartbeat = 0.5\ncpus=0-2,5\ncors=https://a.b\n--x = \"y\"\n";
    char text[sizeof(seed)], path[80];
    struct machine machine = fake_machine();
    uint32_t random = 12345;
    (void)state;
    snprintf(path, sizeof(path), "--config=%s", file_path);
    for (unsigned round = 0; round < 3000; round++) {
        size_t len = round < sizeof(seed) ? round : sizeof(seed) - 1;
        memcpy(text, seed, sizeof(seed));
        for (int n = 0; round >= sizeof(seed) && n < 3; n++) {
            random = random * 1664525 + 1013904223;
            text[(random >> 16) % len] = (char)(random >> 8);
        }
        file_write(span_of(text, len));
        char *words[] = {path, NULL}, *nothing[] = {NULL};
        bool good = settings_load(&settings, 1, words, nothing, &machine);
        assert_true(good == (settings.problem_count == 0));
        assert_true(settings.config.heartbeat_ns >= 10000000);
        assert_true(settings.config.workers >= 1 && settings.config.workers <= WORKERS_MAX);
        settings_fini(&settings);
    }
}

/* Another secret in the file counts after a restart, and the log says so. */
static void test_peer_secret(void **state) {
    char path[] = "/tmp/test_settings_secret_XXXXXX", word[80];
    struct config next;
    struct reports reports = {0};
    (void)state;
    int fd = mkstemp(path);
    assert_int_equal(write(fd, " 0123456789abcdef\r\n", 19), 19);
    snprintf(word, sizeof(word), "--peer-secret-file=%s", path);
    struct load load = {.flags = {word, "--peer=127.0.0.1:7010", "--redis=redis://127.0.0.1"}};
    assert_true(load_it(&load));
    uint8_t key[PROOF_KEY_BYTES];
    proof_key(SPAN("0123456789abcdef"), key);
    assert_memory_equal(settings.config.peer_key, key, sizeof(key));
    expect_shown(SET_PEER, "127.0.0.1:7010");
    assert_true(settings_reload(&settings, &next, count_report, &reports));
    assert_int_equal(reports.restart, 0);
    assert_int_equal(pwrite(fd, " 0123456789abcdeF", 17, 0), 17);
    assert_true(settings_reload(&settings, &next, count_report, &reports));
    assert_int_equal(reports.restart, 1);
    assert_non_null(strstr(reports.last, "peer-secret-file"));
    assert_memory_equal(next.peer_key, key, sizeof(key));
    assert_int_equal(ftruncate(fd, 5), 0);
    assert_false(settings_reload(&settings, &next, count_report, &reports));
    assert_null(strstr(reports.last, "0123"));
    close(fd);
    unlink(path);
    settings_fini(&settings);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_reload),
        cmocka_unit_test(test_peer_secret),
        cmocka_unit_test(test_the_last_key_stays),
        cmocka_unit_test(test_old_strings_are_forgotten),
        cmocka_unit_test(test_reload_of_a_key_file),
        cmocka_unit_test(test_reload_of_a_script),
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_large_messages),
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_mangled_file),
    };
    return cmocka_run_group_tests(tests, file_make, file_remove);
}
