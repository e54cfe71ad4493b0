/* test_settings.c - settings from flags, environment and file: what holds, what is refused how. */
#include "main/settings/settings.c"
#include "main/settings/settings_apply.c"
#include "main/settings/settings_finish.c"
#include "main/settings/settings_read.c"
#include "main/settings/settings_show.c"
#include "main/settings/settings_table.c"
#include "main/settings/settings_value.c"
#include "tests/support/settings_load.h"

static void print_effective(FILE *out) {
    settings_print_effective(&settings, out);
}

static void print_problems(FILE *out) {
    settings_print_problems(&settings, out);
}

static void test_precedence(void **state) {
    struct load load = {.flags = {"--heartbeat", "3", "--tcp=1.1.1.1:1", "--tcp", "off"},
                        .environment = {"RINGPOST_HEARTBEAT=2", "RINGPOST_TCP=2.2.2.2:2",
                                        "RINGPOST_SLOW=keep-latest", "RINGPOST_NODE=",
                                        "RINGPOST_API=[::1]:3,127.0.0.1:0", "PATH=/bin"},
                        .file = "# a comment\n\n heartbeat\t=\t1 # seconds\r\nslow=drop-oldest\n"
                                "web = 127.0.0.1:1\nweb=127.0.0.1:2, 127.0.0.1:3\nnode=a#b\n"};
    (void)state;
    assert_false(load_it(&load)); /* off and an address; and # amid a value is no comment */
    assert_int_equal(settings.problem_count, 2);
    settings_fini(&settings);

    load.flags[3] = NULL;
    load.file = "heartbeat\t=\t1 # seconds\r\nslow=drop-oldest\nweb = 127.0.0.1:1\n"
                "web=127.0.0.1:2, 127.0.0.1:3\nnode=b-1";
    assert_true(load_it(&load));
    expect_shown(SET_HEARTBEAT, "3");
    expect_from(SET_HEARTBEAT, "flag --heartbeat");
    expect_shown(SET_TCP, "1.1.1.1:1");
    expect_shown(SET_SLOW, "keep-latest");
    expect_from(SET_SLOW, "env RINGPOST_SLOW");
    expect_shown(SET_SEND_BUFFER, "4096"); /* by that */
    expect_shown(SET_API, "[::1]:3,127.0.0.1:0");
    expect_shown(SET_WEB, "127.0.0.1:1,127.0.0.1:2,127.0.0.1:3");
    expect_shown(SET_NODE, "b-1"); /* the empty variable counts as not set */
    char origin[64];
    snprintf(origin, sizeof(origin), "%s:5", file_path);
    expect_from(SET_NODE, origin);
    assert_int_equal(settings.config.listener_count, 6);
    assert_int_equal(settings.config.listeners[0].kind, LISTENER_TCP);
    assert_int_equal(settings.config.listeners[5].kind, LISTENER_API);
    settings_fini(&settings);

    load.flags[4] = NULL;
    load.flags[3] = "--send-buffer=64000"; /* keep-latest does not change what is given */
    assert_true(load_it(&load));
    expect_shown(SET_SEND_BUFFER, "64000");
    settings_fini(&settings);

    struct load by_environment = {.environment = {"RINGPOST_CONFIG=/nowhere/at.all"}};
    assert_false(load_it(&by_environment));
    assert_non_null(
        strstr(settings.problems[0].text, "RINGPOST_CONFIG: cannot open /nowhere/at.all"));
    assert_int_equal(settings_exit_status(&settings), 1);
    settings_fini(&settings);
}

static void test_switches(void **state) {
    struct load load = {.flags = {"--demo=no", "--client-send", "--test-no-cbpf", "on"},
                        .environment = {"RINGPOST_TEST_KERNEL_6_1=1"}};
    (void)state;
    assert_true(load_it(&load));
    assert_false(settings.config.demo);
    assert_true(settings.config.client_send);
    assert_true(settings.config.test_no_cbpf);
    assert_true(settings.config.test_kernel_6_1);
    settings_fini(&settings);
}

/* One flag or variable that is wrong: what is said, and the exit status. */
static void test_refused(void **state) {
    static const struct {
        const char *word, *value, *says;
        int status;
    } cases[] = {
        {"--tcpp", "x", "--tcpp: there is no such setting; did you mean --tcp?", 2},
        {"--hartbeat", "1", "did you mean --heartbeat?", 2},
        {"--max_message", "1", "did you mean --max-message?", 2},
        {"--zzzzzzzz", NULL, "there is no such setting; see ringpost serve --help", 2},
        {"--redis", "http://secret@x", "--redis: the URL is no URL of Redis", 2},
        {"--redis", "rediss://user:secret@x", "--redis: the URL asks for TLS", 1},
        {"--store", "redis", "--store: ringpost " RINGPOST_VERSION " does not have this yet", 1},
        {"--recovery", "on", "--recovery: ringpost", 1},
        {"--recovery", NULL, "--recovery: ringpost", 1},
        {"--supervise", NULL, "--supervise: ringpost", 1},
        {"--amqp-queue", "q", "there is no broker that has the queue", 2},
        {"--amqp", "amqp://a", "there is no queue to consume", 2},
        {"--amqp", "http://secret@x", "--amqp: the URL is no URL of a broker", 2},
        {"--amqp", "amqp://u:secret@x?heartbeat=1", "--amqp: the URL holds a ?", 2},
        {"--amqp-prefetch", "0", "out of range; allowed: 1 to 65535", 2},
        {"--amqp-declare", "stream", "--amqp-declare: \"stream\"", 2},
        {"--amqp-cert", "a.pem", "a certificate and its key belong together", 2},
        {"--amqp-ca", "/nowhere/at.all", "--amqp-ca: cannot open /nowhere/at.all: No such file", 1},
        {"--amqp-ca", "/", "--amqp-ca: cannot open /: Is a directory", 1},
        {"--amqp-ca", "/dev/null", "--amqp-ca: /dev/null holds no PEM", 1},
        {"--amqp-key", "/dev/zero", "--amqp-key: /dev/zero is larger than 1 MiB", 2},
        {"--amqp-queue", "a\tb", "holds a control character", 2},
        {"--alert-url", "ftp://a/hidden", "--alert-url: the URL is no URL of a webhook", 2},
        {"--alert-smtp", "smtp://a/hidden", "--alert-smtp: the URL holds a /", 2},
        {"--alert-mail", "ann", "--alert-mail: \"ann\" is no address of mail", 2},
        {"--alert-mail", "a@b\r\nc@d", "--alert-mail: \"a@b??c@d\" has a byte behind its @", 2},
        {"--alert-mail", "a@b", "--alert-mail: nobody takes the mail; name a server", 1},
        {"--alert-from", "a@b@c", "--alert-from: \"a@b@c\" has a byte behind its @", 2},
        {"--alert-after", "25h", "out of range; allowed: 0 to 86400 seconds", 2},
        {"word", NULL, "\"word\": settings are flags", 2},
        {"--tcp", NULL, "--tcp: needs a value, --tcp ADDR:PORT", 2},
        {"--tcp", "", "is empty", 2},
        {"--tcp", "7000", "--tcp: \"7000\" has no port", 2},
        {"--tcp", "1.1.1.1:1,", "empty entry", 2},
        {"--tcp", "1.1.1.1:1,off", "off and 1.1.1.1:1 contradict each other", 2},
        {"--tcp", "127.0.0.1:8080", "127.0.0.1:8080 is taken by --tcp 127.0.0.1:8080 already", 1},
        {"--api", "0.0.0.0:8081",
         "there is no API key, so anybody could push; set RINGPOST_API_KEY", 1},
        {"--api", "[::]:8081", "there is no API key", 1},
        {"--heartbeat", "0", "\"0\" is out of range; allowed: 0.01 to 86400 seconds", 2},
        {"--heartbeat", "5x", "is not a time such as 25, 0.5, 500ms, 30s, 10m or 1h", 2},
        {"--heartbeat", "5 m", "is not a time", 2},
        {"--heartbeat", "ms", "is not a time", 2},
        {"--heartbeat", "25h", "\"25h\" is out of range; allowed: 0.01 to 86400 seconds", 2},
        {"--heartbeat", "9ms", "is out of range", 2},
        {"--heartbeat", "1e3", "is not a time", 2},
        {"--heartbeat", "nan", "is not a time", 2},
        {"--max-message", "1X", "is not a size", 2},
        {"--max-message", "17M", "allowed: 1 to 16777216 bytes", 2},
        {"--workers", "57", "allowed: 1 to 56", 2},
        {"--workers", "1.5", "is not a whole number", 2},
        {"--cpus", "3", "names CPU 3, which this process may not use", 2},
        {"--cpus", "2-1", "is not a list of CPUs", 2},
        {"--memory", "1000", "allowed: 1M to 16T", 2},
        {"--memory", "101%", "is not a size", 2},
        {"--slow", "fast", "allowed: close, drop-oldest, keep-latest", 2},
        {"--log-level", "INFO", "allowed: debug, info, warn, error", 2},
        {"--demo", "maybe", "is neither on nor off", 2},
        {"--node", "a b", "is no node name", 2},
        {"--cors", "https://a.b/path", "is no origin", 2},
        {"--cors", "null", "is no origin", 2},
        {"--cors", "a.b", "is no origin", 2},
        {"--web-host", "https://a.b", "is no host name; write it without scheme and port", 2},
        {"--web-host", "a.b:80", "is no host name", 2},
        {"--web-host", ".b", "is no host name", 2},
        {"--forwarded", "10.0.0.1/8", "has bits set behind its prefix", 2},
        {"--api-key-file", "/nowhere/at.all", "--api-key-file: cannot open /nowhere/at.all", 1},
        {"--api-key-file", "/dev/null", "--api-key-file: /dev/null holds no key", 1},
        {"--socketio-client", "/nowhere/at.all",
         "--socketio-client: cannot open /nowhere/at.all: No such file or directory; name dist/",
         1},
        {"--socketio-client", "/", "cannot open /: Is a directory; name dist/", 1},
        {"--socketio-client", "/dev/null", "--socketio-client: /dev/null is empty; name dist/", 1},
        {"--socketio-client", "/dev/zero", "/dev/zero is larger than 1 MiB; name dist/", 1},
        {"--proxy-protocol", "10.0.0.1/8", "has bits set behind its prefix", 2},
        {"--rate-limit", "-1", "is not a number", 2},
        {"--max-per-address", "0", "allowed: off, or 1 to", 2},
        {"--config", "/nowhere/at.all", "--config: cannot open /nowhere/at.all: No such file", 1},
        {"--config", "/", "cannot open /", 1},
        {"--node", "\x1b[2Jx", "\"?[2Jx\" is no node name", 2},
    };
    (void)state;
    for (size_t n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {
        struct load load = {.flags = {cases[n].word, cases[n].value}};
        assert_false(load_it(&load));
        char *text = printed(print_problems);
        if (strstr(text, cases[n].says) == NULL ||
            settings_exit_status(&settings) != cases[n].status)
            fail_msg("%s %s: exit %d, %s", cases[n].word, cases[n].value,
                     settings_exit_status(&settings), text);
        free(text);
        settings_fini(&settings);
    }
    struct load off = {.flags = {"--tcp", "off", "--web", "off", "--api", "off"}};
    assert_false(load_it(&off));
    assert_non_null(strstr(settings.problems[0].text, "all off"));
    settings_fini(&settings);
    struct load variable = {.environment = {"RINGPOST_SLOW=fast", "RINGPOST_REDIS=x"}};
    assert_false(load_it(&variable));
    assert_non_null(strstr(settings.problems[0].text, "RINGPOST_SLOW: \"fast\" is none"));
    assert_non_null(strstr(settings.problems[1].text, "RINGPOST_REDIS: the URL is no URL"));
    assert_int_equal(settings_exit_status(&settings), 2);
    settings_fini(&settings);
}

static void test_file_problems(void **state) {
    static const struct {
        const char *text;
        unsigned line;
        const char *says;
    } cases[] = {
        {"heartbeat = 0\n", 1, "heartbeat: \"0\" is out of range"},
        {"\n\n heartbeat", 3, "there is no =; a line is KEY = VALUE"},
        {"--tcp = 1.1.1.1:1", 1, "keys are written without dashes: tcp"},
        {"# x\nhartbeat=1", 2, "hartbeat: there is no such setting; did you mean heartbeat?"},
        {"redis=x", 1, "redis: the URL is no URL of Redis"},
        {"slow =", 1, "slow: has no value"},
        {"slow = # close", 1, "slow: has no value"},
        {"slow = \"close\"", 1, "slow: values are written without quotes"},
        {"slow=close\nslow=close", 2, "slow: stands on line 1 already"},
        {"config=x", 1, "a file cannot name another one"},
        {"= 1", 1, "there is no such setting"},
        {"tcp=off\ntcp=1.1.1.1:1", 2, "off and 1.1.1.1:1 contradict"},
    };
    (void)state;
    for (size_t n = 0; n < sizeof(cases) / sizeof(cases[0]); n++) {
        struct load load = {.file = cases[n].text};
        char place[64];
        snprintf(place, sizeof(place), "%s:%u: ", file_path, cases[n].line);
        assert_false(load_it(&load));
        assert_int_equal(settings.problem_count, 1);
        if (strstr(settings.problems[0].text, cases[n].says) == NULL ||
            strncmp(settings.problems[0].text, place, strlen(place)) != 0)
            fail_msg("%s", settings.problems[0].text);
        assert_int_equal(settings_exit_status(&settings), 1);
        settings_fini(&settings);
    }
    /* A value that a flag hides is checked all the same, and a wrong flag outranks a wrong file. */
    struct load hidden = {.flags = {"--slow", "close"}, .file = "slow=x"};
    assert_false(load_it(&hidden));
    assert_int_equal(settings_exit_status(&settings), 1);
    settings_fini(&settings);
    struct load both = {.flags = {"--slow", "y"}, .file = "slow=x"};
    assert_false(load_it(&both));
    assert_int_equal(settings.problem_count, 2);
    assert_int_equal(settings_exit_status(&settings), 2);
    settings_fini(&settings);
}

/* A seat among Socket.IO servers needs Redis, and channels of nodes apart from theirs. */
static void test_adapter(void **state) {
    (void)state;
    struct load load = {.flags = {"--socketio-redis-key", "socket.io"}};
    assert_false(load_it(&load));
    assert_non_null(strstr(settings.problems[0].text, "name it by --redis URL"));
    settings_fini(&settings);
    load.flags[2] = "--redis=redis://x";
    assert_true(load_it(&load));
    expect_shown(SET_SOCKETIO_REDIS_KEY, "socket.io");
    settings_fini(&settings);
    static const char *const prefixes[] = {"socket.io#/#", "socket.io-request#", "socket.io-"};
    for (unsigned i = 0; i < 3; i++) {
        load.flags[3] = "--redis-prefix";
        load.flags[4] = prefixes[i];
        assert_int_equal(load_it(&load), i == 2);
        if (i != 2)
            assert_non_null(strstr(settings.problems[0].text, "under the key of Socket.IO"));
        settings_fini(&settings);
    }
    load.flags[1] = "0123456789012345678901234567890123456789012345678901234567890123x";
    assert_false(load_it(&load));
    assert_non_null(strstr(settings.problems[0].text, "a key has 1 to 64 bytes"));
    settings_fini(&settings);
    /* The sharded adapter: one server alone. */
    struct load sharded = {.flags = {"--socketio-redis-adapter", "sharded"}};
    assert_true(load_it(&sharded));
    assert_int_equal(settings.remark_count, 1);
    settings_fini(&settings);
    sharded.flags[2] = "--socketio-redis-key=socket.io";
    sharded.flags[3] = "--redis=redis://x";
    assert_true(load_it(&sharded));
    assert_int_equal(settings.config.socketio_adapter, ADAPTER_SHARDED);
    settings_fini(&settings);
    sharded.flags[4] = "--redis=redis://y";
    assert_false(load_it(&sharded));
    assert_non_null(strstr(settings.problems[0].text, "works over one Redis"));
    settings_fini(&settings);
}

/* More problems than are kept are counted. */
static void test_many_problems(void **state) {
    char text[2 * (SETTINGS_PROBLEMS_MAX + 5) + 1];
    (void)state;
    struct builder b = builder_over(text, sizeof(text) - 1);
    for (int n = 0; n < SETTINGS_PROBLEMS_MAX + 5; n++)
        builder_text(&b, "x\n");
    text[b.len] = '\0';
    struct load load = {.file = text};
    assert_false(load_it(&load));
    assert_int_equal(settings.problem_count, SETTINGS_PROBLEMS_MAX);
    assert_int_equal(settings.problems_left_out, 5);
    settings_fini(&settings);
}

/* Every numeric setting takes both ends of its range and nothing outside. */
static void test_ranges(void **state) {
    (void)state;
    for (unsigned id = 0; id < SETTINGS; id++) {
        const struct setting *setting = &settings_table[id];
        if (setting->kind != SETTING_SECONDS && setting->kind != SETTING_BYTES &&
            setting->kind != SETTING_COUNT && setting->kind != SETTING_RATE)
            continue;
        double step = setting->kind == SETTING_SECONDS || setting->kind == SETTING_RATE ? 0.001 : 1;
        const double values[] = {setting->min, setting->max, setting->min - step,
                                 setting->max + step};
        for (int n = 0; n < 4; n++) {
            char flag[40], value[40];
            if (values[n] < 0)
                continue;
            snprintf(flag, sizeof(flag), "--%s", setting->name);
            snprintf(value, sizeof(value), "%.3f", values[n]);
            if (step == 1)
                *strchr(value, '.') = '\0';
            struct load load = {.flags = {flag, value}};
            bool good = load_it(&load);
            if (good != (n < 2))
                fail_msg("%s %s was %s", flag, value, good ? "taken" : settings.problems[0].text);
            if (!good)
                assert_non_null(strstr(settings.problems[0].text, "is out of range; allowed: "));
            settings_fini(&settings);
        }
    }
}

static void test_keys(void **state) {
    struct load load = {
        .flags = {"--api-key", "flag-secret", "--api-key=k2,k3,k2", "--api", "0.0.0.0:0"},
        .environment = {"RINGPOST_API_KEY=env-secret"}};
    (void)state;
    assert_true(load_it(&load));
    assert_int_equal(settings.config.api_key_count, 3); /* the repeat counts once */
    assert_string_equal(settings.config.api_keys[0], "flag-secret");
    expect_shown(SET_API_KEY, "<3 keys>");
    char *text = printed(print_effective);
    assert_null(strstr(text, "flag-secret"));
    assert_null(strstr(text, "env-secret"));
    assert_non_null(strstr(text, "<3 keys>"));
    free(text);
    settings_fini(&settings);

    static const char *const bad[] = {"top secret", "secret\x7f", "s\xe4\xe4 cret"};
    for (size_t n = 0; n < 3; n++) {
        struct load wrong = {.flags = {"--api-key", bad[n]}};
        assert_false(load_it(&wrong));
        text = printed(print_problems);
        assert_null(strstr(text, "cret"));
        free(text);
        settings_fini(&settings);
    }
    struct load misspelt = {.flags = {"--apikey", "secret", "--api-kex=secret"},
                            .file = "api-keyy = secret\n"};
    assert_false(load_it(&misspelt));
    text = printed(print_problems);
    assert_null(strstr(text, "secret"));
    free(text);
    settings_fini(&settings);
}

static void write_keys(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void test_key_file(void **state) {
    char path[] = "/tmp/test_settings_keys_XXXXXX", word[64], says[96];
    (void)state;
    close(mkstemp(path));
    snprintf(word, sizeof(word), "--api-key-file=%s", path);
    write_keys(path, "\xef\xbb\xbfone\r\n\n# a comment\n  two \nthree");
    struct load load = {.flags = {word, "--api-key=flag,two", "--api=0.0.0.0:0"}};
    assert_true(load_it(&load));
    assert_int_equal(settings.config.api_key_count, 4); /* with the flag's, each once */
    assert_string_equal(settings.config.api_keys[0], "flag");
    assert_string_equal(settings.config.api_keys[2], "one");
    settings_fini(&settings);

    write_keys(path, "good\ntop secret\n");
    struct load wrong = {.flags = {word}};
    assert_false(load_it(&wrong));
    snprintf(says, sizeof(says), "%s:2: the key holds a blank", path);
    assert_non_null(strstr(settings.problems[0].text, says));
    assert_null(strstr(settings.problems[0].text, "secret"));
    assert_int_equal(settings_exit_status(&settings), 1);
    settings_fini(&settings);

    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (int i = 0; i <= 1024 * 1024; i++)
        fputc('k', file);
    fclose(file);
    assert_false(load_it(&wrong));
    snprintf(says, sizeof(says), "%s is larger than 1 MiB", path);
    assert_non_null(strstr(settings.problems[0].text, says));
    settings_fini(&settings);
    unlink(path);
}

/* Whatever is wrong with a key, it is not told: problems go to the log. */
static void test_key_stays_secret(void **state) {
    static const char text[] = "api-key = secret\0tail\n";
    char path[] = "/tmp/test_settings_keys_XXXXXX", word[64];
    (void)state;
    int fd = mkstemp(path);
    assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
    close(fd);
    snprintf(word, sizeof(word), "--config=%s", path);
    struct load load = {.flags = {word}};
    assert_false(load_it(&load));
    assert_non_null(strstr(settings.problems[0].text, ":1: api-key: the key holds a NUL byte"));
    assert_null(strstr(settings.problems[0].text, "secret"));
    settings_fini(&settings);
    unlink(path);
}

/* What asks for nothing of what is not there yet is no problem. */
static void test_later(void **state) {
    struct load load = {.flags = {"--recovery=off", "--supervise", "off"},
                        .environment = {"RINGPOST_STORE=memory", "RINGPOST_NAMESPACES=/"},
                        .file = "deflate = off\n"};
    (void)state;
    assert_true(load_it(&load));
    settings_fini(&settings);
    struct load asks = {.environment = {"RINGPOST_STORE=redis", "RINGPOST_SUPERVISE=on"},
                        .file = "recovery = on\n"};
    assert_false(load_it(&asks));
    assert_int_equal(settings.problem_count, 3);
    assert_int_equal(settings_exit_status(&settings), 1);
    settings_fini(&settings);
}

/* Clients are not authenticated: who listens beyond loopback is told. */
static void test_reachable_listeners(void **state) {
    struct load load = {.flags = {"--tcp", "0.0.0.0:7000,127.0.0.1:7001", "--web", "[::]:8080"}};
    (void)state;
    assert_true(load_it(&load));
    assert_int_equal(settings.remark_count, 2);
    assert_non_null(strstr(settings.remarks[0], "--tcp: other machines can reach 0.0.0.0:7000"));
    assert_non_null(strstr(settings.remarks[1], "--web: other machines can reach [::]:8080"));
    settings_fini(&settings);
}

static void test_lists(void **state) {
    struct load load = {.flags = {"--cors", "HTTPS://Shop.Example:8443,https://a.b",
                                  "--cors=https://a.b,*", "--proxy-protocol=10.0.0.0/8, ::1",
                                  "--cpus", "0-1,5", "--web-host=Shop.Example,a.b,a.b",
                                  "--forwarded", "127.0.0.1,10.1.0.0/16"}};
    (void)state;
    assert_true(load_it(&load));
    expect_shown(SET_CORS, "https://shop.example:8443,https://a.b,*");
    expect_shown(SET_PROXY_PROTOCOL, "10.0.0.0/8,::1/128");
    expect_shown(SET_WEB_HOST, "shop.example,a.b");
    expect_shown(SET_FORWARDED, "127.0.0.1/32,10.1.0.0/16");
    expect_shown(SET_CPUS, "0-1,5");
    expect_shown(SET_WORKERS, "3");
    settings_fini(&settings);

    char many[400];
    struct builder b = builder_over(many, sizeof(many) - 1);
    for (int n = 0; n <= PROXY_NETS_MAX; n++)
        builder_text(&b, n == 0 ? "10.0.0.0/8" : ",10.0.0.0/8");
    many[b.len] = '\0';
    struct load full = {.flags = {"--proxy-protocol", many}};
    assert_false(load_it(&full));
    assert_non_null(strstr(settings.problems[0].text, "one network too many; allowed: 32"));
    settings_fini(&settings);
}

static void test_workers(void **state) {
    struct machine machine = fake_machine();
    (void)state;
    struct load more = {.flags = {"--workers", "6"}};
    assert_true(load_on(&machine, &more));
    expect_shown(SET_CPUS, "0-2,5,0-1");
    assert_int_equal(settings.config.cpus[6], -1);
    assert_int_equal(settings.remark_count, 1);
    settings_fini(&settings);

    struct load fewer = {.flags = {"--workers", "2"}};
    assert_true(load_on(&machine, &fewer));
    expect_shown(SET_CPUS, "0-1");
    settings_fini(&settings);

    /* A quota cuts the number; the CPUs are some of the mask, each once. */
    machine.cpu_quota = 2;
    struct load none = {0};
    for (int n = 0; n < 16; n++) {
        assert_true(load_on(&machine, &none));
        assert_int_equal(settings.config.workers, 2);
        assert_int_not_equal(settings.config.cpus[0], settings.config.cpus[1]);
        for (int w = 0; w < 2; w++)
            assert_true(machine_has_cpu(&machine, (unsigned)settings.config.cpus[w]));
        settings_fini(&settings);
    }
    machine.cpu_quota = 9;
    assert_true(load_on(&machine, &none));
    assert_int_equal(settings.config.workers, 4);
    settings_fini(&settings);

    /* More CPUs than there can be workers. */
    memset(machine.cpu_mask, 0xff, sizeof(machine.cpu_mask));
    machine.cpus = MACHINE_CPUS_MAX;
    machine.cpu_quota = 0;
    assert_true(load_on(&machine, &none));
    assert_int_equal(settings.config.workers, WORKERS_MAX);
    settings_fini(&settings);
    struct load range = {.flags = {"--cpus", "0-99"}};
    assert_false(load_on(&machine, &range));
    assert_non_null(strstr(settings.problems[0].text, "is more than 56 CPUs"));
    settings_fini(&settings);
}

static void test_resources(void **state) {
    struct machine machine = fake_machine();
    (void)state;
    struct load load = {.flags = {"--memory", "50%", "--max-connections", "30000"}};
    assert_true(load_on(&machine, &load));
    assert_int_equal(settings.config.memory_bytes / 1000000, 4294);
    assert_int_equal(settings.config.max_connections, 19844);
    assert_int_equal(settings.remark_count, 1);
    settings_fini(&settings);

    machine.open_files = 10;
    struct load none = {0};
    assert_true(load_on(&machine, &none));
    assert_int_equal(settings.config.max_connections, 1);
    settings_fini(&settings);
    machine.open_files = UINT64_MAX;
    assert_true(load_on(&machine, &none));
    assert_int_equal(settings.config.max_connections, 1000000);
    settings_fini(&settings);
    /* A worker has a place for each open file: all clients may come to one, and 64 of `api`. */
    machine.ring_files = true;
    machine.open_files = 20000;
    struct load tables = {.flags = {"--workers=2"}};
    assert_true(load_on(&machine, &tables));
    assert_int_equal(settings.config.max_connections, 20000 - FILES_SPARE);
    assert_int_equal(settings.remark_count, 0);
    settings_fini(&settings);
    struct load more = {.flags = {"--workers=2", "--max-connections=30000"}};
    assert_true(load_on(&machine, &more));
    assert_int_equal(settings.config.max_connections, 30000);
    assert_int_equal(settings.remark_count, 1);
    settings_fini(&settings);
    struct load most = {.flags = {"--workers=2", "--max-connections=50000"}};
    assert_true(load_on(&machine, &most));
    assert_int_equal(settings.config.max_connections, 2 * (20000 - FILES_SPARE));
    settings_fini(&settings);
    machine.open_files = 30;
    assert_true(load_on(&machine, &tables));
    assert_int_equal(settings.config.max_connections, 1);
    settings_fini(&settings);
    machine.open_files = 20000;
    settings_fini(&settings);
    struct load old = {.flags = {"--workers=2", "--test-kernel-6.1=on"}};
    assert_true(load_on(&machine, &old));
    assert_in_range(settings.config.max_connections, 19000, 19999);
    settings_fini(&settings);

    struct load sizes = {.flags = {"--memory=16G", "--outbox-bytes=2K", "--max-body=1k"}};
    assert_true(load_it(&sizes));
    assert_int_equal(settings.remark_count, 3);
    assert_int_equal(settings.config.outbox_bytes, 2048);
    settings_fini(&settings);
}

static void test_environment_unknown(void **state) {
    struct load load = {.environment = {"RINGPOST_PORT=tcp://10.0.0.1:80", "RINGPOST_HEARBEAT=1",
                                        "RINGPOST_", "RINGPOST_SERVICE_HOST=10.0.0.1"}};
    (void)state;
    assert_true(load_it(&load));
    assert_int_equal(settings.remark_count, 1);
    assert_non_null(strstr(settings.remarks[0], "did you mean RINGPOST_HEARTBEAT?"));
    settings_fini(&settings);
}

static void test_help_flag(void **state) {
    struct load load = {.flags = {"--help", "--nonsense"}};
    (void)state;
    assert_true(load_it(&load));
    assert_true(settings.help);
    settings_fini(&settings);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_precedence), cmocka_unit_test(test_switches),
        cmocka_unit_test(test_refused),    cmocka_unit_test(test_file_problems),
        cmocka_unit_test(test_adapter),    cmocka_unit_test(test_many_problems),
        cmocka_unit_test(test_ranges),     cmocka_unit_test(test_keys),
        cmocka_unit_test(test_key_file),   cmocka_unit_test(test_key_stays_secret),
        cmocka_unit_test(test_later),      cmocka_unit_test(test_reachable_listeners),
        cmocka_unit_test(test_lists),      cmocka_unit_test(test_workers),
        cmocka_unit_test(test_resources),  cmocka_unit_test(test_environment_unknown),
        cmocka_unit_test(test_help_flag),
    };
    return cmocka_run_group_tests(tests, file_make, file_remove);
}
