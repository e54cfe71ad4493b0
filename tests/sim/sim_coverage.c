#include "tests/sim/sim_coverage.h"

#include "core/base/check.h"
#include "core/base/shortage.h"
#include "core/mailbox.h"
#include "core/tag.h"
#include "tests/sim/sim_kernel.h"
#include "tests/toys/toy_stream.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define ERRNO_MAX 140
#define SHORTAGES_MAX 512
#define RARE_FROM_RUNS 9000 /* and more; see `rare` */

struct coverage {
    _Atomic uint64_t ops[KERNEL_OPS];
    _Atomic uint64_t errors[KERNEL_OPS][ERRNO_MAX];
    _Atomic uint64_t closed[CLOSE_REASON_COUNT];
    _Atomic uint64_t refused[REFUSE_REASON_COUNT];
    _Atomic uint64_t dropped[DROP_REASON_COUNT];
    _Atomic uint64_t connects[CONNECT_REFUSAL_COUNT];
    _Atomic uint64_t mails[MAIL_KIND_COUNT];
    _Atomic uint64_t results[RESULT_COUNT];
    _Atomic uint64_t rings[RING_SHORTAGES];
    _Atomic uint64_t shortages[SHORTAGES_MAX];
    _Atomic uint64_t runs;
#define COVERAGE_MEMBER(member, name, help) _Atomic uint64_t member;
#define COVERAGE_STREAM(name, what) _Atomic uint64_t stream_##name;
    STATS_COUNTERS(COVERAGE_MEMBER)
    TOY_STREAM_POINTS(COVERAGE_STREAM)
#undef COVERAGE_STREAM
#undef COVERAGE_MEMBER
};

static struct coverage *coverage;

/* All places of core/base/shortage.h; the linker gives the ends of the section. */
extern const struct shortage *const __start_shortages[];
extern const struct shortage *const __stop_shortages[];

void coverage_open(void) {
    CHECK(__stop_shortages - __start_shortages <= SHORTAGES_MAX);
    coverage =
        mmap(NULL, sizeof(*coverage), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(coverage != MAP_FAILED);
}

static void count_one(_Atomic uint64_t *counter) {
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

void coverage_op(enum kernel_op op) {
    count_one(&coverage->ops[op]);
}

void coverage_error(enum kernel_op op, int error) {
    CHECK(error > 0 && error < ERRNO_MAX);
    count_one(&coverage->errors[op][error]);
}

void coverage_ring(enum ring_shortage shortage) {
    count_one(&coverage->rings[shortage]);
}

void shortage_met(const struct shortage *const *place) {
    if (sim.running)
        count_one(&coverage->shortages[place - __start_shortages]);
}

static void merge(_Atomic uint64_t *into, const _Atomic uint64_t *from, size_t count) {
    for (size_t i = 0; i < count; i++)
        atomic_fetch_add_explicit(&into[i], stats_get(&from[i]), memory_order_relaxed);
}

void coverage_stats(const struct stats *total) {
    atomic_fetch_add(&coverage->runs, 1);
    merge(coverage->closed, total->closed, CLOSE_REASON_COUNT);
    merge(coverage->refused, total->refused, REFUSE_REASON_COUNT);
    merge(coverage->connects, total->connects_refused, CONNECT_REFUSAL_COUNT);
    merge(coverage->mails, total->mails, MAIL_KIND_COUNT);
    for (unsigned class = 0; class < CLASSES; class ++)
        merge(coverage->dropped, total->copies_dropped[class], DROP_REASON_COUNT);
    for (unsigned class = 0; class < RESULT_CLASSES; class ++)
        merge(coverage->results, total->results[class], RESULT_COUNT);
#define COVERAGE_MERGE(member, name, help) merge(&coverage->member, &total->member, 1);
    STATS_COUNTERS(COVERAGE_MERGE)
#undef COVERAGE_MERGE
#define STREAM_MERGE(name, what) atomic_fetch_add(&coverage->stream_##name, toy_stream_told.name);
    TOY_STREAM_POINTS(STREAM_MERGE)
#undef STREAM_MERGE
    toy_stream_told = (struct toy_stream_told){0};
}

/* A point that not every run of all must reach. */
struct apart {
    const char *point, *why;
    bool found; /* there is such a point */
};

/* What cannot be reached here, and why. */
static struct apart exempt[] = {
    {"short ha/redis/link.c link_room: waiting + bytes > LINK_OUT_BYTES_MAX",
     "16 MiB that Redis does not take; test_link does it", false},
    {"short ha/redis/link.c link_room: more == NULL",
     "64 KiB that Redis does not take while memory has ended; test_link does it", false},
    {"short ha/redis/redis_out.c copy_send: !link_room(&shard->commands, room, &out)",
     "the same; test_redis_memory does it", false},
    {"short ha/redis/redis_names.c batch_send: !link_room(&shard->subscriber, REDIS_COMMAND_BYTES "
     "+ batch->count * bytes, &out)",
     "the same", false},
    {"short ha/redis/redis_in.c bytes_take: !redis_rest_room(redis, data.len)", "the same", false},
    {"short ha/redis/redis_shard.c redis_shard_add: shard == NULL",
     "here are no more servers than at the start; test_redis_memory does it", false},
    {"short ha/redis/redis_shard.c redis_shard_add: !commands || !subscriber", "the same", false},
    {"short ha/redis/redis_cluster.c seats_find: free == REDIS_SHARDS_MAX || "
     "!redis_shard_add(redis)",
     "here is no Cluster", false},
    {"short ha/redis/redis_out.c ask_get: !account_take(&redis->port.account, sizeof(*ask))",
     "the same", false},
    {"short ha/redis/redis_in.c message_take: redis_lent_full(redis)",
     "a million messages that are lent; test_redis_acks does it", false},
    {"short ha/redis/redis_calls.c redis_calls_ask: redis->calls_open >= REDIS_CALLS_MAX",
     "a thousand calls that wait for other nodes; test_redis_calls does it", false},
    {"short ha/redis/redis_out.c redis_out_call: !link_command(&shard->commands, words, 3)",
     "64 KiB that Redis does not take while memory has ended; test_redis_memory does it", false},
    {"short ha/redis/redis_out.c redis_out_call: expect == NULL", "the same", false},
    {"short ingest/api/api_groups.c members_tell: !chain_room(out, 64)",
     "a hundred thousand members, and no memory to say how many", false},
    {"short ha/redis/nodes.c node_make: nodes->count == NODES_MAX",
     "a thousand nodes; test_nodes does it", false},
    {"short ha/redis/resp.c resp_reader_init: reader->items == NULL",
     "asked for once, before the node runs, which then does not start", false},
    {"short ha/redis/resp.c hiredis_feed: redisReaderFeed(reader->hiredis, input->at, len) != "
     "REDIS_OK",
     "memory of hiredis, which has it from the system and not from here", false},
    {"short ha/redis/resp.c hiredis_make: reader->hiredis == NULL", "the same", false},
    {"short ha/redis/link.c try: !resp_reader_reset(&link->reader)", "the same", false},
    {"short ha/redis/redis_adapter.c data_set: !redis_rest_room(redis, max + 1)",
     "no servers of Socket.IO are here; test_redis_adapter has what comes of most of it", false},
    {"short ha/redis/redis_adapter.c message_publish: !redis_rest_room(redis, bytes)", "the same",
     false},
    {"short ha/redis/redis_sharded.c packed_room: more == NULL", "the same", false},
    {"short ha/redis/redis_sharded.c redis_sharded_comes: !packed_room(redis, bytes)", "the same",
     false},
    {"short ha/redis/redis_rooms.c answer_room: !chain_room(&part->text, bytes)", "the same",
     false},
    {"short ha/redis/redis_rooms.c change: directory_join(worker, session, groups, "
     "asked->join_count) != DIRECTORY_DONE",
     "the same", false},
    {"short ha/redis/redis_rooms.c answer: !redis_rest_room(redis, room)", "the same", false},
    {"short ha/redis/redis_rooms.c rooms_make: asked == NULL", "the same", false},
    {"short ha/redis/redis_rooms.c rooms_begin: redis->adapter.open >= ROOMS_CALLS_MAX", "the same",
     false},
    {"short ha/redis/redis_rooms.c rooms_begin: asked == NULL", "the same", false},
    {"short ha/redis/redis_rooms.c rooms_begin: call == NULL", "the same", false},
    {"short ha/redis/redis_rooms.c rooms_begin: !call_start(&redis->port.endpoint, call)",
     "the same", false},
    {"short ha/redis/redis_names.c redis_names_command: expect == NULL", "the same", false},
    {"short core/directory.c directory_take_own: name == NULL", "the same", false},
    {"short core/directory.c directory_take_own: !membership_begin(worker, session, name)",
     "the same", false},
    {"short proto/web/sio/sio_connect.c own_take: directory_take_own(worker, session, "
     "span_text(look.text)) != DIRECTORY_DONE",
     "the same", false},
    {"mail RESTORE", "a start with what an earlier one kept; test_store_power does it", false},
    {"short core/store.c store_restore: !post_room(&server->post, store->port.index, to)",
     "the same, with more of it than a mailbox holds", false},
    {"short proto/ws/ws_deflate.c streams_have: made == NULL",
     "asked for once a run; what it leads to is in test_encodings", false},
    {"short proto/client/websocket.c inflate: true", "the same, for what a client sends", false},
    {"close none", "no reason at all; it must never be counted", false},
    {"connect too_many_groups", "a packet of 65 groups; test_sio has one", false},
    {"close unauthorized", "clients need no token in this version", false},
    {"close stopped", "only when the API's last answers outlast the end of the drain", false},
    {"counter lingers_cut", "takes 64 MiB, or a minute of one peer; test_http_connection does it",
     false},
    {"short core/slots.c slots_grow: worker->slots.block_count == CONNECTION_BLOCKS_MAX",
     "two million connections of one worker", false},
    {"short core/base/table.c grow: bucket == BUCKETS_MAX", "2^25 nodes in one table", false},
    {"short core/holders.c entry_free: !stripe_resize(stripe, stripe->cap / 2)",
     "names of one stripe among 1,024 by the thousand; then it stays large, which test_holders "
     "sees",
     false},
    {"short core/reply.c room_is_short: reserve_presses(worker)",
     "half of the operator's reserve unread while other memory is free again; "
     "test_answers_unread does it",
     false},
    {"short core/call.c call_get: endpoint->calling >= CALLS_MAX",
     "a thousand connections with a call each; test_calls does it", false},
    {"short core/fates_ask.c fates_wait: !account_take(&stripe->account, named_bytes(fate))",
     "memory that is short just as a wait begins, whose message was taken; test_fates does it",
     false},
    {"short core/outbox.c outbox_move: parts == NULL",
     "those that move here have no batches; test_outbox_sessions does it", false},
    {"short core/outbox_parked.c encode_anew: frame == NULL",
     "a text behind bytes in the poll of an old client, without memory; test_outbox_sessions does "
     "it",
     false},
    {"short proto/web/eio/engine_written.c engine_written_add: waits != 0 && waits + bytes > "
     "ENGINE_WRITTEN_BYTES_MAX",
     "256 KiB that a client never fetches; test_engine does it", false},
    {"short core/message.c message_open: !account_admits(&endpoint->account)",
     "a start with more than the ceiling; test_memory does it", false},
    {"short ingest/api/api_batch.c entry_chunk: chunk == NULL",
     "a result of many ids; here are five at the most; test_api_fates does it", false},
    {"short ingest/api/api_batch.c entry_tell: !entry_chunk(worker, batch, index, result)",
     "the same", false},
    {"short ingest/api/api_batch.c batch_answer_chunked: batch->failed",
     "the same, and the system has no memory at all", false},
    {"short ingest/api/api_batch.c batch_answer_chunked: !batch_chain(worker, batch, &chain)",
     "the same, and the system has no memory at all", false},
    {"short ingest/api/api_batch.c batch_chain: run == NULL",
     "the same, and the system has no memory at all", false},
    {"short core/fate_feed.c fates_feed: fates->feed.fates == NULL",
     "no port publishes fates here; test_amqp_out has one that does", false},
    {"short ingest/api/api_stats.c queues_write: !chain_room(chain, 64 + count * BOOK_BYTES)",
     "no port has books here, and some bytes are left behind what is written before", false},
    {"short proto/web/web_script.c web_get_script: copy == NULL",
     "nobody asks for the script here; test_web does it", false},
    {"short ingest/api/api_messages.c answer_long: block == NULL",
     "a result of over 7 KB: many ids with long names; here are five at the most", false},
};

/* What takes two things at the same moment, and so some thousand runs. */
static struct apart rare[] = {
    {"short core/store.c store_settle: !post_room(&server->post, endpoint->index, "
     "store_index(server))",
     "", false},
    {"short core/keeper_remote.c keeper_herald_for: !post_room(&worker->server->post, "
     "worker->index, "
     "herald->index)",
     "", false},
    {"short ha/redis/redis_calls.c lines_send: !redis_rest_room(redis, room)", "", false},
    {"short ha/redis/redis_calls.c says_take: chunk == NULL", "", false},
    {"short ha/redis/redis_calls.c redis_calls_asked: !call_start(&redis->port.endpoint, call)", "",
     false},
    {"short ha/redis/redis_calls.c charged_get: !account_take(&redis->port.account, "
     "pool->object_bytes)",
     "", false},
    {"short ingest/api/api_clients.c count_tell: !chain_room(out, 128)", "", false},
    {"short ingest/api/api_clients.c presence_end_write: !chain_room(chain, 192)", "", false},
    {"short ingest/api/api_clients.c others_write: !chain_room(chain, value.len + 1)", "", false},
    {"short ingest/api/api_clients.c presence_tell: !chain_room(out, 128)", "", false},
    {"short ingest/api/api_fates.c message_finish: !chain_room(&chain, fate.len)", "", false},
    {"short ingest/api/api_fates.c fate_tell: !chain_room(out, fate_bytes_max(fate) + 16)", "",
     false},
    {"short ingest/api/api_fates.c api_answer_fate: !chain_room(&chain, fate_bytes_max(fate))", "",
     false},
    {"short ingest/api/api_groups.c others_begin: part->blocks[BLOCK_PAGE] == NULL", "", false},
    {"short ingest/api/api_groups.c others_begin: part->blocks[BLOCK_IDS] == NULL", "", false},
    {"short ingest/api/api_groups.c page_tell: !chain_room(out, LINE_NAMES * "
     "(builder_json_max(NAME_BYTES_MAX) + 1) + 32)",
     "", false},
    {"short ingest/api/api_groups.c hashes_tell: !chain_room(out, base64_len(bytes.len) + 32)", "",
     false},
    {"short ingest/api/api_stats.c redis_write: !chain_room(chain, bytes)", "", false},
    {"short ingest/api/api_stats.c servers_write: !chain_room(chain, (sizeof(servers) / "
     "sizeof(servers[0])) * (builder_json_max(PORT_SERVER_BYTES) + 96))",
     "", false},
    {"short ingest/api/api_clients.c session_write: !chain_room(chain, session_bytes(session))", "",
     false},
    {"short ha/redis/nodes.c node_make: !table_add(&nodes->runs, &node->node)", "", false},
    {"short ingest/api/api_stats.c nodes_write: !chain_room(chain, 512)", "", false},
    {"short ingest/api/api_stats.c nodes_write: !chain_room(chain, 8 * 512)", "", false},
    {"short ha/redis/redis_out.c questions_send: expect == NULL", "", false},
    {"short ha/redis/redis_out.c redis_out_keep: expect == NULL", "", false},
    {"short ha/redis/redis_acks.c redis_lent_get: !account_take(&redis->port.account, "
     "sizeof(*lent))",
     "", false},
    {"short core/directory.c directory_rename: !name_enter(worker, name)", "", false},
    {"short core/directory.c directory_rename: name == NULL", "", false},
    {"short core/session_ack.c session_acknowledge: !post_room(post, worker->index, "
     "session.worker)",
     "", false},
    {"short ingest/api/api_fates.c api_delete_message: call == NULL", "", false},
    {"short proto/web/eio/engine_time.c engine_polls_begin: !wait_begin(worker, &engines->wait, "
     "&type, worker->now_ns + WAIT_FOR_EVER_NS)",
     "", false},
    {"short proto/web/sio/sio_app.c polled_serve: room == NULL", "", false},
    {"short proto/web/sio/sio_app.c parts_add: parts == NULL", "", false},
    {"short core/attend.c attend_acknowledge_hashes: !post_room(&worker->server->post, "
     "worker->index, keeper)",
     "", false},
    {"short proto/web/eio/engine_front.c payload_answer: chunks == NULL", "", false},
    {"short proto/web/eio/engine_front.c jsonp_make: script == NULL", "", false},
    {"short proto/web/eio/engine_front.c jsonp_make: all == NULL", "", false},
    {"short proto/web/eio/engine_serve.c handshake_poll: !polls", "", false},
    {"short proto/web/sio/sio_session.c acks_make_room: more == NULL", "", false},
    {"short proto/web/sio/sio_events.c ack_hold: held == NULL", "", false},
    {"short proto/web/sio/sio_write.c sio_write_echo: room == NULL", "", false},
    {"short proto/client/websocket.c compressed_take: room == NULL", "", false},
    {"short proto/web/eio/engine.c query_keep: kept == NULL", "", false},
    {"short core/session_ack.c session_acknowledge: ack == NULL", "", false},
    {"short core/session_ack.c session_acknowledge: worker->requests >= post->requests_max", "",
     false},
    {"short core/session_ack.c ack_make: ack == NULL", "", false},
    {"short core/trail.c trail_end: !account_take(&worker->account, ENDED_BYTES)", "", false},
    {"short core/trail.c trail_end: !room_make(worker, ENDED_BYTES)", "", false},
    {"short core/trail.c trail_end: !table_add(&trails->ended, &ended->node)", "", false},
    {"short core/trail.c trail_add: !trail_grow(worker, trail, session->id->node.hash)", "", false},
    {"short core/trail.c trail_grow: grown == NULL", "", false},
    {"short core/trail.c trail_grow: !room_make(worker, entries_bytes(cap))", "", false},
    {"short ingest/api/api_fates.c pending_run: !chain_room(chain, ENTRY_BYTES)", "", false},
    {"short proto/web/sse.c sse_get: sse == NULL", "", false},
    {"short proto/web/sse.c sse_get_events: sse == NULL", "", false},
    {"short core/store.c store_has_room: !post_room(post, endpoint->index, "
     "store_index(endpoint->server))",
     "", false},
    {"counter sio_ignored", "", false},
    {"counter sio_acks_forgotten", "", false},
    {"short proto/web/eio/engine_socket.c on_no_memory: true", "", false},
    {"short tests/toys/toy_engine.c on_open: !session_open(worker, &toy->session, &session_type)",
     "", false},
    {"short proto/web/sse.c ack_ask: asked == NULL", "", false},
    {"short proto/web/sse.c question_ask: !call_start(&worker->endpoint, call)", "", false},
    {"short proto/web/sse.c question_ask: call == NULL", "", false},
    {"short proto/web/sse.c question_finish: !attend_acknowledge_to(worker, "
     "sse->session.id->node.hash, all.count)",
     "", false},
    {"short proto/web/sse.c sse_get: !account_take(&worker->account, sizeof(*sse))", "", false},
    {"short core/attend.c attend_acknowledge_to: !post_room(&worker->server->post, worker->index, "
     "keeper)",
     "", false},
    {"short core/attend.c attend_acknowledge_hashes: list == NULL", "", false},
    {"short core/message.c frame_fit: fit == NULL", "", false},
    {"short ingest/api/api_fates.c pending_write: !chain_room(chain, ENTRY_BYTES)", "", false},
    {"short core/attend.c ask_later: !account_take(&worker->account, sizeof(*ask))", "", false},
    {"short core/reply.c on_look: must_go(worker, connection)", "", false},
    {"counter unread_closed", "", false},
    {"short tests/toys/toy_session.c toy_open: !session_open(worker, &toy->session, &session_type)",
     "", false},
    {"short core/addresses.c address_add: !table_add(&addresses->table, &address->node)", "",
     false},
    {"short core/arrival.c arrival_proxy_header: !address_enter(worker, connection, &refusal)", "",
     false},
    {"short core/arrival.c arrival_rename: !address_enter(worker, connection, why)", "", false},
    {"short core/base/table.c grow: !segment_have(table, bucket)", "", false},
    {"short core/connection.c input_refuse: connection->proxy_header", "", false},
    {"short core/directory.c charged_get: !account_take(&worker->account, pool->object_bytes + "
     "share)",
     "", false},
    {"short core/keeper.c id_get: !account_take(&worker->account, ID_BYTES)", "", false},
    {"short core/kept_input.c input_take: !input_keep(worker, connection, end, rest)", "", false},
    {"short core/outbox_send.c outbox_flush: batch_split(worker, outbox, outbox->first) == NULL",
     "", false},
    {"short core/outbox_send.c outbox_flush: parts == NULL", "", false},
    {"short core/outbox.c outbox_make_room: parts == NULL", "", false},
    {"short core/outbox_parked.c outbox_parked_take: !chain_room(chain, between.len + bytes)", "",
     false},
    {"short core/trail.c trail_end: ended == NULL", "", false},
    {"short proto/http/http_connection.c forwarded_look: why == REFUSE_MEMORY", "", false},
    {"short proto/http/http_exchange.c exchange_open: !exchange_room(worker, http, &beyond)", "",
     false},
    {"short proto/http/http_exchange.c exchange_room: !reply_take(worker, http_owed_bytes(http), "
     "sizeof(struct http_exchange), beyond)",
     "", false},
    {"short proto/web/sio/sio_connect.c session_make: one == NULL", "", false},
    {"short core/outbox_batch.c batch_pieces: piece == NULL", "", false},
    {"short core/fates_ask.c named_add: named == NULL", "", false},
    {"short core/fates_ask.c named_add: !table_add(&waited->entries, &named->node)", "", false},
    {"short core/piece.c piece_get_again: piece == NULL", "", false},
    {"short core/outbox_batch.c batch_split: chain == NULL", "", false},
    {"short core/piece.c piece_get: !account_take(&worker->account, piece_bytes(shared))", "",
     false},
    {"short core/chain.c chunk_get: !quota_take(quota, &endpoint->account, bytes)", "", false},
    {"short core/frame_batch.c frame_batch_open: batch == NULL", "", false},
    {"short ingest/api/api_batch.c batch_answer: batch->failed", "", false},
    {"short ingest/api/api_batch.c batch_count: !batch_furnish(worker, batch)", "", false},
    {"short ingest/api/api_batch.c batch_count: !batch_put_off(worker, batch)", "", false},
    {"short ingest/api/api_batch.c batch_go: !batch_put_off(worker, batch)", "", false},
    {"short ingest/api/api_batch.c batch_furnish: !account_take(&worker->account, text_bytes)", "",
     false},
    {"short ingest/api/api_batch.c batch_room: !strbuf_room(&batch->text, ENTRY_BYTES_MAX)", "",
     false},
    {"short ingest/api/api_batch.c entry_text: !batch_room(worker, batch)", "", false},
    {"short proto/client/registration.c registration_attend: !attend_begin(worker, session)", "",
     false},
    {"short ingest/api/api_batch.c batch_put_off: hold->block == NULL", "", false},
    {"short ingest/api/api_clients.c join_visit: true", "", false},
    {"short ingest/api/api_fates.c api_delete_message: !api_call_start(worker, call)", "", false},
    {"short ingest/api/api_wait.c ack_begin: !wait_begin(worker, &ack->wait, &type, "
     "worker->now_ns + ack->timeout_ns)",
     "", false},
    {"short ingest/api/api_groups.c api_get_group: call == NULL", "", false},
    {"short ingest/api/api_groups.c distinct_begin: call->blocks[BLOCK_DISTINCT] == NULL", "",
     false},
    {"short ingest/api/api_groups.c merge_begin: call->blocks[BLOCK_MERGE] == NULL", "", false},
    {"short ingest/api/api_groups.c name_write: !chain_room(&merge->chain, 2 * "
     "builder_json_max(NAME_BYTES_MAX) + 64)",
     "", false},
    {"short ingest/api/api_stats.c api_get_stats: call == NULL", "", false},
    {"short ingest/api/api_stats.c object_write: !chain_room(chain, HEAD_BYTES + SLOWEST_BYTES)",
     "", false},
    {"short ingest/api/api_stats.c worker_write: !chain_room(chain, WORKER_BYTES)", "", false},
    {"short ingest/gate/dedup.c entry_try: !account_take(&stripe->account, ENTRY_BYTES)", "",
     false},
    {"short proto/http/http_connection.c assembly_take: !assembly_add(worker, incoming, at, len)",
     "", false},
    {"short proto/http/http_connection.c head_look: !memory_has(worker, request->size)", "", false},
    {"short proto/http/http_end.c http_on_drain: last == NULL", "", false},
    {"short proto/http/http_connection.c memory_has: !account_take(&worker->account, bytes)", "",
     false},
    {"short proto/http/http_connection.c request_refuse: exchange == NULL", "", false},
    {"short proto/http/http_exchange.c exchange_busy: last == NULL", "", false},
    {"short proto/http/http_exchange.c must_wait: owed >= HTTP_UNSENT_BYTES_MAX / part", "", false},
    {"short core/reply.c replies_unsent_max: replies_press(&worker->replies)", "", false},
    {"short proto/http/http_exchange.c must_wait: owed > replies_unsent_max(worker) / part && "
     "(replies_press(&worker->replies) || budget_is_full(worker->account.budget))",
     "", false},
    {"short proto/client/client.c client_ready: client->sends >= CLIENT_SENDS_MAX", "", false},
};

static bool is_apart(struct apart *list, size_t count, const char *point) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(point, list[i].point) == 0)
            return list[i].found = true;
    return false;
}

/* What stands in a list and is no point any more; that it was one is forgotten. */
static unsigned apart_unknown(struct apart *list, size_t count) {
    unsigned unknown = 0;
    for (size_t i = 0; i < count; i++) {
        if (!list[i].found)
            printf("  %-60s NO SUCH POINT\n", list[i].point);
        unknown += !list[i].found;
        list[i].found = false;
    }
    return unknown;
}

#define COUNT_OF(list) (sizeof(list) / sizeof(list[0]))

static unsigned point_print(const char *kind, const char *name, const _Atomic uint64_t *count) {
    char point[192];
    snprintf(point, sizeof(point), "%s %s", kind, name);
    uint64_t reached = stats_get(count);
    const char *mark = "  NOT REACHED";
    if (is_apart(rare, COUNT_OF(rare), point) && stats_get(&coverage->runs) < RARE_FROM_RUNS)
        mark = "  (rare)";
    if (is_apart(exempt, COUNT_OF(exempt), point))
        mark = "  (exempt)";
    if (reached != 0)
        mark = "";
    printf("  %-60s %12llu%s\n", point, (unsigned long long)reached, mark);
    return strcmp(mark, "  NOT REACHED") == 0;
}

/* What the fake kernel may answer; each must have been met. */
static const struct {
    enum kernel_op op;
    int error;
} errors[] = {
    {KERNEL_ACCEPT, EMFILE},      {KERNEL_ACCEPT, ENFILE},       {KERNEL_ACCEPT, ENOBUFS},
    {KERNEL_ACCEPT, ENOMEM},      {KERNEL_ACCEPT, ECONNABORTED}, {KERNEL_ACCEPT, EINTR},
    {KERNEL_ACCEPT, ECANCELED},   {KERNEL_RECEIVE, ENOBUFS},     {KERNEL_RECEIVE, ECANCELED},
    {KERNEL_RECEIVE, ECONNRESET}, {KERNEL_RECEIVE, ETIMEDOUT},   {KERNEL_RECEIVE, EHOSTUNREACH},
    {KERNEL_RECEIVE, EINTR},      {KERNEL_RECEIVE, EAGAIN},      {KERNEL_SEND, EPIPE},
    {KERNEL_SEND, ECONNRESET},    {KERNEL_SEND, ETIMEDOUT},      {KERNEL_SEND, EHOSTUNREACH},
    {KERNEL_SEND, ENOMEM},        {KERNEL_SEND, ENOBUFS},        {KERNEL_SEND, EINTR},
    {KERNEL_SEND, EAGAIN},        {KERNEL_SEND, ECANCELED},      {KERNEL_LEND, EMFILE},
    {KERNEL_SHUTDOWN, ENOTCONN},  {KERNEL_CLOSE, EIO},           {KERNEL_CANCEL, ENOENT},
    {KERNEL_CANCEL, EALREADY},    {KERNEL_WATCH, ECANCELED},
};

static unsigned shortages_print(void) {
    unsigned missing = 0, count = (unsigned)(__stop_shortages - __start_shortages);
    for (unsigned i = 0; i < count; i++) {
        const struct shortage *place = __start_shortages[i];
        const char *file = place->file;
        while (strncmp(file, "../", 3) == 0)
            file += 3;
        char name[160];
        snprintf(name, sizeof(name), "%s %s: %s", file, place->function, place->condition);
        missing += point_print("short", name, &coverage->shortages[i]);
    }
    return missing;
}

unsigned coverage_print(void) {
    unsigned missing = 0;
    printf("coverage of %llu runs:\n", (unsigned long long)stats_get(&coverage->runs));
    for (unsigned i = 0; i < KERNEL_OPS; i++)
        missing += point_print("op", kernel_op_name((enum kernel_op)i), &coverage->ops[i]);
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        char name[64];
        snprintf(name, sizeof(name), "%s -%s", kernel_op_name(errors[i].op),
                 strerrorname_np(errors[i].error));
        missing += point_print("error", name, &coverage->errors[errors[i].op][errors[i].error]);
    }
    static const char *const rings[RING_SHORTAGES] = {
        [RING_SUBMISSIONS_FULL] = "no room for a submission",
        [RING_COMPLETIONS_FULL] = "no room for a completion",
        [RING_NO_TABLE] = "no table of files",
        [RING_TABLE_FULL] = "no place in the table",
        [RING_NO_MEMORY] = "no memory for a place",
    };
    for (unsigned i = 0; i < RING_SHORTAGES; i++)
        missing += point_print("ring", rings[i], &coverage->rings[i]);
    missing += shortages_print();
#define MAIL_PRINT(name) missing += point_print("mail", #name, &coverage->mails[MAIL_##name]);
    MAIL_KINDS(MAIL_PRINT)
#undef MAIL_PRINT
    for (unsigned i = 0; i < CLOSE_REASON_COUNT; i++)
        missing += point_print("close", i == 0 ? "none" : close_reason_word((enum close_reason)i),
                               &coverage->closed[i]);
    for (unsigned i = 0; i < REFUSE_REASON_COUNT; i++)
        missing +=
            point_print("refuse", refuse_reason_word((enum refuse_reason)i), &coverage->refused[i]);
    for (unsigned i = 0; i < DROP_REASON_COUNT; i++)
        missing +=
            point_print("drop", drop_reason_word((enum drop_reason)i), &coverage->dropped[i]);
    for (unsigned i = 0; i < CONNECT_REFUSAL_COUNT; i++)
        missing += point_print("connect", connect_refusal_word((enum connect_refusal)i),
                               &coverage->connects[i]);
    for (unsigned i = 0; i < RESULT_COUNT; i++)
        missing += point_print("result", result_text((enum result_word)i), &coverage->results[i]);
#define COUNTER_PRINT(member, name, help)                                                          \
    missing += point_print("counter", #member, &coverage->member);
    STATS_COUNTERS(COUNTER_PRINT)
#undef COUNTER_PRINT
#define STREAM_PRINT(name, what) missing += point_print("stream", what, &coverage->stream_##name);
    TOY_STREAM_POINTS(STREAM_PRINT)
#undef STREAM_PRINT
    missing += apart_unknown(exempt, COUNT_OF(exempt)) + apart_unknown(rare, COUNT_OF(rare));
    for (size_t i = 0; i < COUNT_OF(exempt); i++)
        printf("  exempt: %-36s %s\n", exempt[i].point, exempt[i].why);
    return missing;
}
