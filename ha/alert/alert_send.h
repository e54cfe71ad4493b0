/* alert_send.h - sends one alert at a time to each of two places: a webhook by HTTP, mail by SMTP.
 * Over libcurl, and all of it: nobody else includes its headers. It is loaded by alert_send_init,
 * so that a process without alerts has nothing of it.
 *
 * Nothing here waits but alert_send_wait, and for ALERT_QUIT_S what a mail server says to QUIT. A
 * try ends after ALERT_TRY_MS at the latest, and after ALERT_HEAD_MAX bytes of what a server says
 * of itself. Of the body of an answer nothing is kept but its beginning, and it is cut off after
 * ALERT_BODY_MAX bytes; the status decides then.
 *
 * Redirects are not followed, no proxy is asked, no file of the user is read. TLS is 1.2 or newer:
 *
 *   https://, smtps://               the certificate is checked
 *   smtp:// with a password          STARTTLS or nothing, and the certificate is checked
 *   smtp:// without one              STARTTLS if the server offers it, whoever that is, as mail
 *                                    servers do among each other
 *   smtp:// to this machine          without TLS
 *
 * Threads: one, after alert_send_init on any. Owns: what
 * libcurl took. Limits: one transfer to each place. libcurl's own memory is beside --memory: some
 * 100 KB a transfer, and 3 MB while it has read the certificates of the system. */
#ifndef RINGPOST_HA_ALERT_ALERT_SEND_H
#define RINGPOST_HA_ALERT_ALERT_SEND_H

#include "ha/alert/alert_place.h"

#define ALERT_TRY_MS 15000
#define ALERT_CONNECT_MS 5000
#define ALERT_QUIT_S 1
#define ALERT_HEAD_MAX (64 * 1024)
#define ALERT_BODY_MAX (16 * 1024)
#define ALERT_SAID_MAX 160
#define ALERT_PROBLEM_MAX 320

/* What is sent, and to where. All of it must stay until the transfer has ended. */
struct alert_parcel {
    const struct alert_place *place;
    const char *addresses; /* of its host, with commas; NULL: it is an address itself */
    struct span content;
    const char *url; /* of a webhook; NULL: it is mail, for which there is: */
    const struct alert_smtp *smtp;
    const char *host; /* this one's name, for EHLO */
    const char *from;
    const char *const *to;
    unsigned to_count;
};

struct alert_result {
    bool sent;
    bool is_final;   /* it was not sent, and another try would end as this one did */
    unsigned status; /* of HTTP, or the last one of SMTP; 0: none came */
    char problem[ALERT_PROBLEM_MAX]; /* not sent: why; sent: what the server said against it */
    const char *remedy;              /* of a problem */
};

/* One transfer. */
struct alert_transfer {
    void *easy;
    bool under_way;
    struct alert_parcel parcel;
    size_t content_sent;
    size_t head_bytes, body_bytes;
    bool too_much;             /* it was cut off for what it said */
    bool refused;              /* a mail server refused something */
    bool asks_for_addresses;   /* it was asked whether it takes mail for them */
    char said[ALERT_SAID_MAX]; /* the last line of a mail server's refusal, or the body's beginning
                                */
    size_t said_len;
    char error[256]; /* CURL_ERROR_SIZE */
    void *lists[3];  /* of libcurl */
    bool has_result; /* it has ended, and nobody has taken: */
    struct alert_result result;
};

struct alert_sender {
    void *multi;
    struct alert_transfer transfers[2];
};

/* Loads the library. False: `problem` says why not. */
bool alert_send_init(struct alert_sender *sender, char *problem, size_t problem_cap);
/* Begins a transfer in one of the two places, which has none. False: no memory, nothing began. */
bool alert_send_begin(struct alert_sender *sender, unsigned place,
                      const struct alert_parcel *parcel);
/* Does what can be done now. */
void alert_send_work(struct alert_sender *sender);
/* Has a transfer ended since it began? Then `result` says how. */
bool alert_send_ended(struct alert_sender *sender, unsigned place, struct alert_result *result);
/* Waits until there is something to do, `wake_fd` (-1: none) is ready, or for so long. */
void alert_send_wait(struct alert_sender *sender, int wake_fd, uint64_t wait_ns);
/* Breaks off what is under way. */
void alert_send_fini(struct alert_sender *sender);

#endif
