/* survey.h - which segments stand in a directory, and what stands in each: for the start, for
 * `ringpost store check` and for a repair. It changes nothing.
 *
 * Threads: the caller's. Owns: the list of segments. */
#ifndef RINGPOST_HA_STORE_SURVEY_H
#define RINGPOST_HA_STORE_SURVEY_H

#include "ha/store/journal.h"

enum survey_state {
    SURVEY_GOOD,
    SURVEY_VOID,      /* reclaimed, or left over from a repair that was done, or was not */
    SURVEY_DAMAGED,   /* no valid header */
    SURVEY_VERSION,   /* of another version */
    SURVEY_FOREIGN,   /* of another store */
    SURVEY_MISPLACED, /* its number is not that of its name */
    SURVEY_DISORDER,  /* begins with a sequence before that of the segment in front of it */
    SURVEY_LENGTH,    /* the file is shorter or longer than it was made */
    SURVEY_UNREADABLE
};

struct survey_segment {
    uint64_t number; /* by its name */
    uint64_t file_bytes;
    struct segment_header header; /* unless DAMAGED, VERSION or UNREADABLE */
    uint32_t version;
    int error; /* of UNREADABLE */
    enum survey_state state;
};

struct survey {
    const char *directory;
    int folder;
    bool meta_there;
    enum store_form meta_form;
    uint32_t meta_version;
    struct store_meta meta; /* if it is FORM_GOOD */
    struct survey_segment *segments;
    unsigned count;
    uint64_t number_highest;        /* of all files */
    char strange[STORE_NAME_BYTES]; /* the name of one that is FILE_STRANGE, which is left alone */
    uint64_t bytes_highest;         /* of a segment's file */
};

/* Reads store.meta and all headers of segments, and says of each what it is; what is wrong with
 * them is no failure. False: why is in `problem`; there is nothing to free. */
bool survey_open(struct survey *survey, const char *directory, int folder,
                 struct journal_problem *problem);
void survey_free(struct survey *survey);
/* The first thing that is wrong with the files as a whole, or with one: false, and it is in
 * `problem`. */
bool survey_meta_sound(const struct survey *survey, struct journal_problem *problem);
bool survey_sound(const struct survey *survey, unsigned at, struct journal_problem *problem);
/* The index of the next segment that counts, from `at` on; `survey->count`: none. */
unsigned survey_next(const struct survey *survey, unsigned at);
/* Reads a segment's file; `room` has `bytes_highest`. 0, or errno. */
int survey_read(const struct survey *survey, unsigned at, char *room, struct span *bytes);

enum replay_end {
    REPLAY_WHOLE,
    REPLAY_TORN,    /* what follows was not known to be synced */
    REPLAY_DAMAGED, /* what follows was */
    REPLAY_STOPPED  /* by `visit` */
};

struct replay {
    uint64_t limit;  /* the next segment's first sequence; UINT64_MAX: this is the last */
    uint64_t synced; /* everything up to this was synced, as far as is known */
    /* What was found: */
    uint64_t records, next; /* how many, and the first sequence that is not among them */
    uint64_t end;           /* where they end, and what is bad begins */
    uint32_t body_bytes_max;
    uint64_t later_records, later_end; /* valid ones behind it; where the last one ends */
    uint64_t later, later_at;          /* the first of them, 0: none */
};

/* Shows the records of a segment in order, from `bytes` of its file. `visit` may be NULL. */
enum replay_end replay_segment(struct span bytes, const struct segment_header *header,
                               struct replay *replay, journal_visit *visit, void *argument);
/* The sentence for REPLAY_DAMAGED. */
void replay_problem(const struct survey *survey, unsigned at, const struct replay *replay,
                    struct journal_problem *problem);
/* Where the record with that sequence, which is among those that were shown, begins. */
uint64_t replay_find(struct span bytes, const struct segment_header *header, uint64_t sequence);

#endif
