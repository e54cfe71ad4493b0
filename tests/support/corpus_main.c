/* corpus_main.c - runs a fuzz target without a fuzzer, the same inputs every time.
 *
 *   replay_json tests/corpus/json
 *
 * Each file of the folder goes in whole, cut short at every length, and mutated by a generator with
 * a fixed seed. Every input lies alone in memory of its exact size, so that AddressSanitizer sees a
 * byte read too far. A folder without files is a failure: it would prove nothing. */
#include "core/base/check.h"

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_BYTES_MAX (1u << 20)
#define CUTS_MAX 2048 /* of longer files not every length */
#define MUTATIONS 128

int LLVMFuzzerTestOneInput(const uint8_t *at, size_t len);

static uint64_t seed;
static unsigned long inputs;

static size_t draw(size_t bound) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (size_t)(seed % bound);
}

static void feed(const uint8_t *at, size_t len) {
    uint8_t *alone = malloc(len != 0 ? len : 1);
    CHECK(alone != NULL);
    if (len != 0)
        memcpy(alone, at, len);
    LLVMFuzzerTestOneInput(alone, len);
    free(alone);
    inputs++;
}

/* One small change; `room` bytes are there for `*len` to grow into. */
static void mutate(uint8_t *at, size_t *len, size_t room) {
    static const uint8_t telling[] = {0, 1, 9, 10, 13, 32, 34, 37, 44, 48, 92, 127, 128, 192, 255};
    size_t place = draw(*len + 1);
    size_t left = *len - place;
    size_t run = left != 0 ? 1 + draw(left < 16 ? left : 16) : 0;
    switch (draw(5)) {
    case 0: /* one bit */
        if (left != 0)
            at[place] ^= (uint8_t)(1u << draw(8));
        break;
    case 1: /* one byte that means something to somebody */
        if (left != 0)
            at[place] = telling[draw(sizeof(telling))];
        break;
    case 2: /* a run is missing */
        memmove(at + place, at + place + run, left - run);
        *len -= run;
        break;
    case 3: /* a run is there twice */
        if (run <= room - *len) {
            memmove(at + place + run, at + place, left);
            *len += run;
        }
        break;
    default: /* a byte too many */
        if (*len < room) {
            memmove(at + place + 1, at + place, left);
            at[place] = telling[draw(sizeof(telling))];
            *len += 1;
        }
        break;
    }
}

static void feed_all(const uint8_t *at, size_t len, uint8_t *scratch) {
    feed(at, len);
    size_t step = len / CUTS_MAX + 1;
    for (size_t cut = 0; cut < len; cut += step)
        feed(at, cut);
    for (int i = 0; i < MUTATIONS; i++) {
        size_t mutated_len = len;
        if (len != 0)
            memcpy(scratch, at, len);
        for (size_t changes = 1 + draw(4); changes != 0; changes--)
            mutate(scratch, &mutated_len, FILE_BYTES_MAX);
        feed(scratch, mutated_len);
    }
}

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int visible(const struct dirent *entry) {
    return entry->d_name[0] != '.';
}

/* False: not a regular file. */
static bool file_feed(const char *path, uint8_t *content, uint8_t *scratch) {
    struct stat about;
    if (stat(path, &about) != 0 || !S_ISREG(about.st_mode))
        return false;
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        exit(1);
    }
    size_t len = fread(content, 1, FILE_BYTES_MAX, file);
    fclose(file);
    /* The same changes to a file whatever other files there are. */
    seed = UINT64_C(0x9E3779B97F4A7C15) ^ len;
    feed_all(content, len, scratch);
    return true;
}

int main(int count, char **words) {
    if (count != 2) {
        fprintf(stderr, "usage: %s FOLDER\n", words[0]);
        return 2;
    }
    struct dirent **names;
    int found = scandir(words[1], &names, visible, by_name);
    if (found < 0) {
        perror(words[1]);
        return 1;
    }
    uint8_t *content = malloc(FILE_BYTES_MAX), *scratch = malloc(FILE_BYTES_MAX);
    CHECK(content != NULL && scratch != NULL);
    unsigned long files = 0;
    for (int i = 0; i < found; i++) {
        char path[4096];
        int len = snprintf(path, sizeof(path), "%s/%s", words[1], names[i]->d_name);
        CHECK(len > 0 && (size_t)len < sizeof(path));
        files += file_feed(path, content, scratch);
        free(names[i]);
    }
    free(names);
    free(content);
    free(scratch);
    printf("%lu inputs from %lu files\n", inputs, files);
    if (files == 0)
        fprintf(stderr, "%s holds no files to replay\n", words[1]);
    return files == 0;
}
