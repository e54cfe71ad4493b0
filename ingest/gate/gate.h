/* gate.h - the one way in: every message, whoever brings it, goes through gate_publish.
 *
 *   behind? (gate_admit, before a request's body is read)
 *   draining? -> rate -> room for a publish -> build and seal -> idempotency -> fate -> hub ->
 * result
 *
 * The caller has authorised the producer and filled an envelope (envelope.h), which has checked and
 * bounded the payload. The gate copies everything into a message and tells the result exactly once,
 * now or later. What is refused leaves no trace: nothing is taken in part, and the id is not
 * occupied.
 *
 * The gate keeps order per source: messages of one source and one address leave in the order of the
 * calls. One exception: a message that waited for the fate of another with the same id (dedup.h)
 * and has to take its place counts as accepted at that moment.
 *
 * An id is remembered by two: by the idempotency table for its window, and where its message is to
 * be acknowledged by the message's fate (fates.h), until it is settled and for the window after
 * that. Whoever has claimed an id in the table, for a message of whatever class, asks the fates
 * then. A fate is there before its message goes to the hub, and is known to all before the claim is
 * settled.
 *
 * Threads: gate_publish: the source's endpoint, which also gets the result. gate_init and
 * gate_fini: before the threads run, after they have ended. Owns: the idempotency table,
 * one pending publish for each publish in flight (bounded by what mailbox.h allows
 * of requests). Allocates from pools only. Never writes keys or payloads into logs. */
#ifndef RINGPOST_INGEST_GATE_GATE_H
#define RINGPOST_INGEST_GATE_GATE_H

#include "core/admission.h"
#include "core/fates.h"
#include "core/hub.h"
#include "core/pool.h"
#include "core/timer.h"
#include "ingest/gate/client_rates.h"
#include "ingest/gate/dedup.h"
#include "proto/text/complaint.h"

struct builder;
struct config;
struct connection;
struct endpoint;
struct envelope;
struct envelope_scratch;
struct gate_source;
struct peer_address;
struct server;
struct worker;

/* How much somebody may still publish, by the generic cell rate algorithm: the state is one
 * moment, shared by all workers. A second's worth (at least one message) may come at once.
 * Zeroed it is fresh. */
struct gate_rate {
    _Atomic uint64_t used_until_ns; /* what was let through is used up at that moment */
};

/* True: one message may pass. False: `*retry_ns` from now one may. `per_second` 0: no limit. Any
 * thread. */
bool gate_rate_take(struct gate_rate *rate, double per_second, uint64_t now_ns, uint64_t *retry_ns);

/* The whole answer to one message. */
struct gate_result {
    enum result_word state;
    uint16_t status; /* HTTP, contract section 6 */
    uint32_t recipients;
    struct span id; /* the producer's or the one made; empty: refused before there was one */
    /* RESULT_DUPLICATE: the first result; its id is the same. */
    enum result_word first_state;
    uint32_t first_recipients;
    bool cluster_lost; /* taken, but other nodes could not be reached: they may miss it */
    bool maybe; /* RESULT_CLUSTER_UNAVAILABLE: it may have reached another node all the same */
    /* Of a message that is to be acknowledged and was taken, now or by the first of these
     * duplicates; held until the result was told. NULL: of another, or it is forgotten. */
    struct fate *fate;
    /* RESULT_ACKED: from acceptance to the last acknowledgement. */
    uint64_t latency_ns;
    /* Refused: */
    enum code code;         /* CODE_NONE: it is not an error (ABSENT and DROPPED are none) */
    const char *message;    /* one sentence */
    const char *field;      /* NULL: about no one field */
    size_t offset;          /* BAD_JSON only */
    uint32_t retry_after_s; /* 429 and 503; 0 otherwise */
};

/* The result of a message that came from `source`; `request` and `index` are what gate_publish
 * was given. Spans and texts of the result die when it returns. The connection may be closing by
 * now, its slot and the source are still there. It may publish again. */
typedef void gate_done(struct endpoint *endpoint, struct gate_source *source, void *request,
                       uint32_t index, const struct gate_result *result);

/* Where messages come from: embedded in what a connection keeps until its slot is freed
 * (on_free). While a message is under way the connection has a publish outstanding
 * (connection_publish_begun). */
struct gate_source {
    struct connection *connection;
    gate_done *done;
    /* NULL: by the scope of the ids (client_rates.h); without a scope: no limit. */
    struct gate_rate *rate;
    uint64_t producer;      /* whose share what it sends counts in; 0: nobody's own */
    struct intake intake;   /* how late what it sends is read */
    enum standing standing; /* of the request that was admitted last */
};

/* The numbers of producers, for `producer`: of an API key by its place, of a client id by the hash
 * of its name, of a source address. */
uint64_t producer_of_key(unsigned place);
uint64_t producer_of_client(uint64_t name_hash);
uint64_t producer_of_address(const struct peer_address *peer);

/* `rate`: of the API key for the API, one of its own for a session without a client id, NULL for a
 * client. */
void gate_source_init(struct gate_source *source, struct connection *connection, gate_done *done,
                      struct gate_rate *rate);

/* To be asked once for each request, however many messages are in it, with `producer` set. False:
 * the worker is behind, the request must be refused (`overloaded`, GATE_BEHIND_TEXT) and is
 * counted, as a request: how many messages are in it is not known. The time since slice_over was
 * called last counts as what the refusal costs, so it should come early. */
bool gate_admit(struct worker *worker, struct gate_source *source);
#define GATE_BEHIND_TEXT "more is pushed than this node can serve; nothing was taken, try again"

/* One message. All but `source` and `request` may go when gate_publish returns. */
struct gate_request {
    struct gate_source *source;
    const struct envelope *envelope; /* complete, with its payload */
    struct span scope;               /* of the id, see dedup.h; empty: all API keys together */
    void *request;                   /* for `done` */
    uint32_t index;                  /* for `done` */
    bool in_batch;                   /* one of many that were admitted together */
    bool from_node;                  /* another node's gate has let it in: nothing limits it here,
                                        its id is not remembered unless it is lent (message.h), and
                                        it passes while this node still waits for what is under way
                                        (PHASE_REFUSING) */
    /* The source waits for the fate, if the result has one: the result `queued` or `stored` is not
     * the last word then, and the source counts what is (stats.results). */
    bool waits;
};

/* Takes the message or refuses it. `source->done` is called exactly once, perhaps before this
 * returns. */
void gate_publish(struct endpoint *endpoint, const struct gate_request *request);

/* A result for what did not get as far as the gate: an envelope that was refused. The complaint
 * must live as long as the result. */
void gate_result_bad(struct gate_result *result, const struct complaint *complaint);

/* The result of that state, without more. */
struct gate_result gate_result_of(enum result_word state);
/* What a message with that fate has come to so far: ACKED, PENDING, EXPIRED or DROPPED. The fate
 * must be held as long as the result is used. */
struct gate_result gate_result_of_fate(struct fate *fate);

/* The message of a 503 takes at the most, with its end; it may have a name in it. */
#define GATE_FULL_BYTES (NAME_BYTES_MAX + 128)

/* Bytes that gate_result_write needs at the most, but for the fates of several addresses. */
#define GATE_RESULT_BYTES_MAX 2048
/* With them. */
size_t gate_result_bytes(const struct gate_result *result);

/* The result as a JSON object with id, state and recipients, or with error; with `status` as its
 * first member when asked (for an entry of a batch). What its fate is stands in it where that says
 * more (`now` of duplicates, `to` of several addresses, `reason`), as it is at this moment. */
void gate_result_write(const struct gate_result *result, bool with_status, struct builder *out);

/* What the room keeps for one endpoint. */
struct gate_context {
    _Alignas(64) struct pool pendings;
    struct pool sends;             /* of client_send.c */
    struct pool rooms;             /* one: */
    struct envelope_scratch *room; /* of client_send.c, for the envelope that is being read */
    struct timer sweep;            /* armed while the table may hold ids whose time will be over */
};

/* What the ingest room shares between the workers; server->ingest points to it. */
struct gate {
    struct dedup dedup;
    struct client_rates client_rates;
    struct gate_context contexts[ENDPOINTS_MAX];
};

/* Prepares the gate and makes it server->ingest. After server_init and before the workers run.
 * gate_on_nudged must be the on_nudged of server_parts. False: no memory. */
bool gate_init(struct gate *gate, struct server *server);
/* After all workers have ended and every publish is done. */
void gate_fini(struct gate *gate);
/* Other endpoints have found results for this one's waiting repeats, or settled what it waits for.
 */
void gate_on_nudged(struct endpoint *endpoint);

struct gate *gate_of(const struct endpoint *endpoint);

#endif
