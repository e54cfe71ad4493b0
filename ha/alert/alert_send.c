#include "ha/alert/alert_send.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/library.h"

#define CURL_DISABLE_TYPECHECK /* its macros stand in the way of a table of functions */
#include <curl/curl.h>
#include <limits.h>
#include <stdio.h>

_Static_assert(sizeof(((struct alert_transfer *)0)->error) >= CURL_ERROR_SIZE, "room for an error");

enum { LIST_NAMES, LIST_HEAD, LIST_TO };

/* --- the library ---------------------------------------------------------------------------- */

#define CALLS(X)                                                                                   \
    X(curl_global_init)                                                                            \
    X(curl_global_cleanup)                                                                         \
    X(curl_multi_init)                                                                             \
    X(curl_multi_cleanup)                                                                          \
    X(curl_multi_add_handle)                                                                       \
    X(curl_multi_remove_handle)                                                                    \
    X(curl_multi_perform)                                                                          \
    X(curl_multi_info_read)                                                                        \
    X(curl_multi_poll)                                                                             \
    X(curl_easy_init)                                                                              \
    X(curl_easy_reset)                                                                             \
    X(curl_easy_cleanup)                                                                           \
    X(curl_easy_setopt)                                                                            \
    X(curl_easy_getinfo)                                                                           \
    X(curl_easy_strerror)                                                                          \
    X(curl_slist_append)                                                                           \
    X(curl_slist_free_all)

static struct { CALLS(LIBRARY_POINTER) } api;

#define CALL(name) LIBRARY_CALL(api, name)
static const struct library_call calls[] = {CALLS(CALL)};

/* Loaded when there are alerts: with all that it needs it takes 20 ms and 6 MB of every process,
 * also of a probe that asks for health. The one over GnuTLS, since OpenSSL's shares names of
 * functions with wolfSSL. */
static const struct library library = {
    .file = "libcurl-gnutls.so.4",
    .need = "alerts need libcurl",
    .remedy = "apt-get install libcurl3-gnutls (libcurl3t64-gnutls since Debian 13)",
    .calls = calls,
    .call_count = sizeof(calls) / sizeof(calls[0]),
};

bool alert_send_init(struct alert_sender *sender, char *problem, size_t problem_cap) {
    memset(sender, 0, sizeof(*sender));
    if (!library_load(&library, problem, problem_cap))
        return false;
    snprintf(problem, problem_cap, "no memory for alerts");
    if (api.curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return false;
    sender->multi = api.curl_multi_init();
    for (unsigned i = 0; i < 2; i++)
        sender->transfers[i].easy = api.curl_easy_init();
    if (sender->multi != NULL && sender->transfers[0].easy != NULL &&
        sender->transfers[1].easy != NULL)
        return true;
    alert_send_fini(sender);
    return false;
}

/* --- what libcurl asks and tells ------------------------------------------------------------ */

static size_t on_read(char *at, size_t size, size_t count, void *user) {
    struct alert_transfer *transfer = user;
    struct span rest = span_skip(transfer->parcel.content, transfer->content_sent);
    size_t len = rest.len < size * count ? rest.len : size * count;
    if (len != 0)
        memcpy(at, rest.at, len);
    transfer->content_sent += len;
    return len;
}

static void said_add(struct alert_transfer *transfer, struct span text) {
    for (size_t i = 0; i < text.len && transfer->said_len + 1 < ALERT_SAID_MAX; i++) {
        char byte = text.at[i];
        if (byte >= 0x20 && byte < 0x7F)
            transfer->said[transfer->said_len++] = byte;
        else if (transfer->said_len != 0 && transfer->said[transfer->said_len - 1] != ' ')
            transfer->said[transfer->said_len++] = ' ';
    }
    transfer->said[transfer->said_len] = '\0';
}

/* Heads of HTTP, and all that a mail server says. */
static size_t on_head(char *at, size_t size, size_t count, void *user) {
    struct alert_transfer *transfer = user;
    size_t len = size * count;
    transfer->head_bytes += len;
    if (transfer->head_bytes > ALERT_HEAD_MAX) {
        transfer->too_much = true;
        return 0;
    }
    if (transfer->parcel.url != NULL)
        return len;
    if (len > 3 && (at[0] == '4' || at[0] == '5')) {
        transfer->refused = true;
        transfer->said_len = 0;
        said_add(transfer, span_of(at, len));
    }
    return len;
}

/* What a mail server is told: from the first RCPT on a refusal is of an address, and the mail may
 * go to others. Before that it is of something that libcurl does without, or nothing was sent.
 * Behind QUIT libcurl waits without giving the thread back, also where the mail was refused; and
 * what is said to that is nothing to wait for. */
static int on_trace(CURL *easy, curl_infotype type, char *at, size_t len, void *user) {
    struct alert_transfer *transfer = user;
    if (type != CURLINFO_HEADER_OUT)
        return 0;
    if (span_starts(span_of(at, len), SPAN("RCPT ")) && !transfer->asks_for_addresses) {
        transfer->asks_for_addresses = true;
        transfer->refused = false;
    }
    if (span_starts(span_of(at, len), SPAN("QUIT")))
        api.curl_easy_setopt(easy, CURLOPT_SERVER_RESPONSE_TIMEOUT, (long)ALERT_QUIT_S);
    return 0;
}

static size_t on_body(char *at, size_t size, size_t count, void *user) {
    struct alert_transfer *transfer = user;
    size_t len = size * count;
    said_add(transfer, span_of(at, len));
    transfer->body_bytes += len;
    if (transfer->body_bytes <= ALERT_BODY_MAX)
        return len;
    transfer->too_much = true;
    return 0;
}

/* --- a transfer ----------------------------------------------------------------------------- */

static bool list_add(struct alert_transfer *transfer, unsigned list, const char *text) {
    struct curl_slist *more = api.curl_slist_append(transfer->lists[list], text);
    if (more == NULL)
        return false;
    transfer->lists[list] = more;
    return true;
}

static void lists_free(struct alert_transfer *transfer) {
    for (size_t i = 0; i < sizeof(transfer->lists) / sizeof(transfer->lists[0]); i++) {
        api.curl_slist_free_all(transfer->lists[i]);
        transfer->lists[i] = NULL;
    }
}

/* The first that libcurl refuses stays. */
#define SET(option, value)                                                                         \
    do {                                                                                           \
        if (code == CURLE_OK)                                                                      \
            code = api.curl_easy_setopt(easy, option, value);                                      \
    } while (0)

static CURLcode common_set(struct alert_transfer *transfer) {
    CURL *easy = transfer->easy;
    CURLcode code = CURLE_OK;
    SET(CURLOPT_PRIVATE, transfer);
    SET(CURLOPT_ERRORBUFFER, transfer->error);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_PROXY, "");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_FRESH_CONNECT, 1L);
    /* A connection that is kept would say QUIT later, and wait for its answer for two minutes. */
    SET(CURLOPT_FORBID_REUSE, 1L);
    SET(CURLOPT_CONNECTTIMEOUT_MS, (long)ALERT_CONNECT_MS);
    SET(CURLOPT_TIMEOUT_MS, (long)ALERT_TRY_MS);
    SET(CURLOPT_SERVER_RESPONSE_TIMEOUT, (long)ALERT_TRY_MS / 1000);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    SET(CURLOPT_HEADERFUNCTION, on_head);
    SET(CURLOPT_HEADERDATA, transfer);
    SET(CURLOPT_WRITEFUNCTION, on_body);
    SET(CURLOPT_WRITEDATA, transfer);
    SET(CURLOPT_RESOLVE, transfer->lists[LIST_NAMES]);
    return code;
}

static CURLcode webhook_set(struct alert_transfer *transfer) {
    const struct alert_parcel *parcel = &transfer->parcel;
    CURL *easy = transfer->easy;
    CURLcode code = CURLE_OK;
    if (!list_add(transfer, LIST_HEAD, "Content-Type: application/json") ||
        !list_add(transfer, LIST_HEAD, "Expect:"))
        return CURLE_OUT_OF_MEMORY;
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_URL, parcel->url);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_USERAGENT, "ringpost");
    SET(CURLOPT_HTTPHEADER, transfer->lists[LIST_HEAD]);
    SET(CURLOPT_POSTFIELDSIZE, (long)parcel->content.len);
    SET(CURLOPT_POSTFIELDS, parcel->content.at);
    return code;
}

static CURLcode mail_set(struct alert_transfer *transfer) {
    const struct alert_parcel *parcel = &transfer->parcel;
    const struct alert_place *place = parcel->place;
    CURL *easy = transfer->easy;
    CURLcode code = CURLE_OK;
    char text[ALERT_ADDRESS_BYTES_MAX + 3], url[2 * ALERT_HOST_BYTES_MAX + 32];
    bool secret = parcel->smtp->password[0] != '\0';
    bool checks = place->is_tls || secret;
    for (unsigned i = 0; i < parcel->to_count; i++) {
        snprintf(text, sizeof(text), "<%s>", parcel->to[i]);
        if (!list_add(transfer, LIST_TO, text))
            return CURLE_OUT_OF_MEMORY;
    }
    snprintf(text, sizeof(text), "<%s>", parcel->from);
    snprintf(url, sizeof(url), place->is_v6 ? "%s[%s]:%u/%s" : "%s%s:%u/%s",
             place->is_tls ? "smtps://" : "smtp://", place->host, place->port, parcel->host);
    SET(CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    SET(CURLOPT_URL, url);
    SET(CURLOPT_MAIL_FROM, text);
    SET(CURLOPT_MAIL_RCPT, transfer->lists[LIST_TO]);
    /* One address that is wrong must not keep the others from hearing of it. */
    SET(CURLOPT_MAIL_RCPT_ALLLOWFAILS, 1L);
    SET(CURLOPT_VERBOSE, 1L);
    SET(CURLOPT_DEBUGFUNCTION, on_trace);
    SET(CURLOPT_DEBUGDATA, transfer);
    SET(CURLOPT_UPLOAD, 1L);
    SET(CURLOPT_READFUNCTION, on_read);
    SET(CURLOPT_READDATA, transfer);
    SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)parcel->content.len);
    SET(CURLOPT_USE_SSL, (long)(place->is_local ? CURLUSESSL_NONE
                                : secret        ? CURLUSESSL_ALL
                                                : CURLUSESSL_TRY));
    SET(CURLOPT_SSL_VERIFYPEER, checks ? 1L : 0L);
    SET(CURLOPT_SSL_VERIFYHOST, checks ? 2L : 0L);
    if (secret) {
        SET(CURLOPT_USERNAME, parcel->smtp->user);
        SET(CURLOPT_PASSWORD, parcel->smtp->password);
        /* A server may not choose Kerberos and the like, which read files and run for long. */
        SET(CURLOPT_LOGIN_OPTIONS, "AUTH=PLAIN;AUTH=LOGIN;AUTH=CRAM-MD5");
    }
    return code;
}

#undef SET

/* "HOST:PORT:ADDRESS,ADDRESS": libcurl looks up nothing by itself. */
static bool names_set(struct alert_transfer *transfer) {
    const struct alert_parcel *parcel = &transfer->parcel;
    char text[ALERT_HOST_BYTES_MAX + 1024];
    if (parcel->addresses == NULL)
        return true;
    snprintf(text, sizeof(text), "%s:%u:%s", parcel->place->host, parcel->place->port,
             parcel->addresses);
    return list_add(transfer, LIST_NAMES, text);
}

bool alert_send_begin(struct alert_sender *sender, unsigned place,
                      const struct alert_parcel *parcel) {
    struct alert_transfer *transfer = &sender->transfers[place];
    CHECK(!transfer->under_way, "place %u", place);
    void *easy = transfer->easy;
    memset(transfer, 0, sizeof(*transfer));
    transfer->easy = easy;
    transfer->parcel = *parcel;
    api.curl_easy_reset(easy);
    bool good = names_set(transfer) && common_set(transfer) == CURLE_OK &&
                (parcel->url != NULL ? webhook_set(transfer) : mail_set(transfer)) == CURLE_OK &&
                api.curl_multi_add_handle(sender->multi, easy) == CURLM_OK;
    if (!good)
        lists_free(transfer);
    transfer->under_way = good;
    return good;
}

void alert_send_work(struct alert_sender *sender) {
    int running;
    api.curl_multi_perform(sender->multi, &running);
}

/* --- how it ended --------------------------------------------------------------------------- */

static const char *remedy_http(unsigned status) {
    if (status < 400)
        return "redirects are not followed: give the URL that it points to";
    if (status < 500 && status != 408 && status != 429)
        return "see that the URL is right and still valid, and that its receiver takes JSON";
    return "none here: the receiver has a fault, or too much to do";
}

static const char *remedy_smtp(unsigned status) {
    if (status == 530 || status == 535 || status == 534)
        return "give the right user and password in the URL of the mail server; many providers "
               "want a password made for programs";
    return "see what the mail server says: it must take mail from --alert-from for --alert-mail";
}

static const char *remedy_of(CURLcode code) {
    switch (code) {
    case CURLE_COULDNT_CONNECT:
        return "see that it listens there, and that no firewall is between";
    case CURLE_OPERATION_TIMEDOUT:
        return "see that it runs and can be reached, and that a firewall refuses rather than drops";
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
        return "name the host as its certificate does, and let the system trust who signed it "
               "(package ca-certificates, update-ca-certificates)";
    case CURLE_USE_SSL_FAILED:
        return "it offers no STARTTLS, and a password goes nowhere without TLS: say smtps://, or "
               "name a server that has it";
    case CURLE_SSL_CONNECT_ERROR:
        return "see that it speaks TLS 1.2 or newer on that port; smtp:// is for STARTTLS, "
               "smtps:// for TLS from the beginning";
    case CURLE_LOGIN_DENIED:
        return remedy_smtp(535);
    default:
        return "see that the right kind of server listens there";
    }
}

/* A receiver that answers with the path that it was asked for (as many do that know it not) would
 * bring the secret in it into the log. Is any piece of the URL in what it said? Of a long one a run
 * of PIECE_MAX bytes is enough, since a part of it may be told, or what is kept may end in it. */
static bool said_has_secret(const struct alert_transfer *transfer) {
    enum { PIECE_MIN = 4, PIECE_MAX = 8 };
    const char *at = strstr(transfer->parcel.url, "://") + 3;
    for (at += strcspn(at, "/?"); *at != '\0';) {
        at += strspn(at, "/?&=");
        size_t len = strcspn(at, "/?&="), run = len < PIECE_MAX ? len : PIECE_MAX;
        for (size_t i = 0; len >= PIECE_MIN && i + run <= len; i++)
            if (memmem(transfer->said, transfer->said_len, at + i, run) != NULL)
                return true;
        at += len;
    }
    return strpbrk(transfer->said, "/?=<") != NULL;
}

static void result_http(const struct alert_transfer *transfer, struct alert_result *result) {
    unsigned status = result->status;
    if (status >= 200 && status < 300) {
        result->sent = true;
        return;
    }
    result->is_final = status < 500 && status != 408 && status != 425 && status != 429;
    result->remedy = remedy_http(status);
    bool tells = transfer->said_len != 0 && !said_has_secret(transfer);
    snprintf(result->problem, sizeof(result->problem), "it answers %u%s%s", status,
             tells ? ": " : "", tells ? transfer->said : "");
}

static void result_make(const struct alert_transfer *transfer, CURLcode code,
                        struct alert_result *result) {
    long status = 0;
    api.curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    *result = (struct alert_result){.status = (unsigned)status};
    /* What comes behind the status, or does not come, changes nothing. */
    if (transfer->parcel.url != NULL && status >= 200 && transfer->head_bytes <= ALERT_HEAD_MAX) {
        result_http(transfer, result);
        return;
    }
    if (transfer->parcel.url == NULL && transfer->refused) {
        result->sent = code == CURLE_OK;
        result->is_final = !result->sent && transfer->said[0] == '5';
        result->remedy =
            code == CURLE_LOGIN_DENIED ? remedy_smtp(535) : remedy_smtp(result->status);
        if (code == CURLE_LOGIN_DENIED) /* some servers repeat what they were sent */
            snprintf(result->problem, sizeof(result->problem), "it refuses user and password, %.3s",
                     transfer->said);
        else
            snprintf(result->problem, sizeof(result->problem), "it says %s", transfer->said);
        return;
    }
    if (transfer->parcel.url == NULL && code == CURLE_OK) {
        result->sent = true;
        return;
    }
    const char *why = transfer->error[0] != '\0' ? transfer->error : api.curl_easy_strerror(code);
    result->remedy = remedy_of(code);
    snprintf(result->problem, sizeof(result->problem), "%s",
             transfer->too_much ? "it sends a head without an end" : why);
}

bool alert_send_ended(struct alert_sender *sender, unsigned place, struct alert_result *result) {
    struct alert_transfer *transfer = &sender->transfers[place];
    int left;
    for (CURLMsg *message; (message = api.curl_multi_info_read(sender->multi, &left)) != NULL;) {
        struct alert_transfer *ended = NULL;
        CURLcode code = message->data.result;
        api.curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&ended);
        result_make(ended, code, &ended->result);
        api.curl_multi_remove_handle(sender->multi, ended->easy);
        lists_free(ended);
        ended->under_way = false;
        ended->has_result = true;
    }
    bool is_there = transfer->has_result;
    if (is_there)
        *result = transfer->result;
    transfer->has_result = false;
    return is_there;
}

void alert_send_wait(struct alert_sender *sender, int wake_fd, uint64_t wait_ns) {
    struct curl_waitfd wake = {.fd = wake_fd, .events = CURL_WAIT_POLLIN};
    uint64_t wait_ms = wait_ns / NS_PER_MS + (wait_ns % NS_PER_MS != 0);
    api.curl_multi_poll(sender->multi, &wake, wake_fd < 0 ? 0 : 1,
                        wait_ms > INT_MAX ? INT_MAX : (int)wait_ms, NULL);
}

void alert_send_fini(struct alert_sender *sender) {
    for (unsigned i = 0; i < 2; i++) {
        struct alert_transfer *transfer = &sender->transfers[i];
        if (transfer->under_way)
            api.curl_multi_remove_handle(sender->multi, transfer->easy);
        api.curl_easy_cleanup(transfer->easy);
        lists_free(transfer);
    }
    if (sender->multi != NULL)
        api.curl_multi_cleanup(sender->multi);
    api.curl_global_cleanup();
    memset(sender, 0, sizeof(*sender));
}
