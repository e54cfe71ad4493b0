/* settings_load.h - loading settings on a made-up machine, for the tests of them.
 *
 * To be included behind main/settings/settings*.c. Threads: one. Owns: one temporary file, from
 * file_make to file_remove. */
#ifndef RINGPOST_TESTS_SUPPORT_SETTINGS_LOAD_H
#define RINGPOST_TESTS_SUPPORT_SETTINGS_LOAD_H

#include "main/settings/settings_build.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* Four CPUs (0, 1, 2, 5), 8 GiB, 20,000 files, no quota. */
static inline struct machine fake_machine(void) {
    return (struct machine){
        .cpu_mask = {0x27}, .cpus = 4, .memory_bytes = UINT64_C(8) << 30, .open_files = 20000};
}

#define WORDS_MAX 24

/* A load: words end with NULL. `file` is the text of the file, or NULL. */
struct load {
    const char *flags[WORDS_MAX];
    const char *environment[WORDS_MAX];
    const char *file;
};

static char file_path[] = "/tmp/test_settings_XXXXXX";
static struct settings settings;

/* Before and after all tests of a program (cmocka_run_group_tests). */
static inline int file_make(void **state) {
    (void)state;
    int fd = mkstemp(file_path);
    return fd < 0 ? -1 : close(fd);
}

static inline int file_remove(void **state) {
    (void)state;
    return unlink(file_path);
}

static inline void file_write(struct span text) {
    FILE *file = fopen(file_path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text.at, 1, text.len, file), text.len);
    fclose(file);
}

/* Loads into `settings`; the words must outlive it. */
static inline bool load_on(const struct machine *machine, struct load *load) {
    static char config_word[64];
    int argc = 0;
    while (load->flags[argc] != NULL)
        argc++;
    if (load->file != NULL) {
        file_write(span_text(load->file));
        snprintf(config_word, sizeof(config_word), "--config=%s", file_path);
        load->flags[argc++] = config_word;
    }
    return settings_load(&settings, argc, (char **)(uintptr_t)load->flags,
                         (char **)(uintptr_t)load->environment, machine);
}

static inline bool load_it(struct load *load) {
    struct machine machine = fake_machine();
    return load_on(&machine, load);
}

static inline void expect_shown(enum setting_id id, const char *value) {
    char text[SETTING_VALUE_MAX];
    setting_format(&settings, id, text, sizeof(text));
    if (strcmp(text, value) != 0)
        fail_msg("%s is %s instead of %s", settings_table[id].name, text, value);
}

static inline void expect_from(enum setting_id id, const char *origin) {
    char text[SETTINGS_TEXT_MAX];
    setting_format_origin(&settings, id, text, sizeof(text));
    assert_string_equal(text, origin);
}

/* A value that is refused, and what the first problem says of it. */
struct wrong_setting {
    const char *text, *says;
};

static inline void expect_wrong(const char *flag, const struct wrong_setting *cases, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct load load = {.flags = {flag, cases[i].text}};
        if (load_it(&load))
            fail_msg("%s is taken", cases[i].text);
        if (strstr(settings.problems[0].text, cases[i].says) == NULL)
            fail_msg("%s: %s", cases[i].text, settings.problems[0].text);
        settings_fini(&settings);
    }
}

/* Everything that an output function prints; the caller frees it. */
static inline char *printed(void (*print)(FILE *out)) {
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    print(out);
    fclose(out);
    return text;
}

#endif
