"""Nothing limited is taken without a SHORTAGE (core/base/shortage.h), so that the simulation must
reach the way out where there is none."""

import re

# What gives, or says whether there is, something limited. A function that hands the shortage on to
# its caller stands here, too.
TAKES = [
    "malloc", "calloc", "realloc", "aligned_alloc", "mmap", "map_pages",
    "map_aligned", "region_map",
    "account_take", "grant_press", "memory_get", "reply_take", "reply_get", "reply_piece",
    "memory_has",
    "pool_get", "block_cache_get", "block_get", "charged_get", "table_add", "segment_have",
    "strbuf_room", "stripe_resize", "entry_get", "holders_add", "address_add", "addresses_enter",
    "address_enter", "address_hold", "arrival_rename",
    "node_enter", "files_have_room", "slots_grow", "slot_get",
    "session_open", "name_get", "name_enter", "membership_begin", "directory_take_id",
    "directory_join", "message_open", "message_build", "parcel_open", "parcel_frame",
    "frame_batch_open", "batch_pieces", "batch_split", "piece_get", "outbox_write",
    "outbox_push_batch", "fanout_push",
    "broadcast_push", "fanout_reserve", "entries_get", "queue_make", "job_enter",
    "room_for_copies", "room_for_all", "reserve_all", "post_room", "publish_get",
    "call_get", "call_start", "input_keep", "incoming_have", "assembly_add", "exchange_open",
    "pending_get", "sender_of", "entry_try", "entry_make", "dedup_claim", "dedup_relieve",
    "ids_relieve", "gate_admit", "rate_take", "batch_new", "batch_room", "batch_suspend",
    "api_call_get", "quota_take", "budget_take", "chunk_get", "chain_room",
    "outbox_write_chunks", "members_begin", "relay_room", "engine_make", "poll_make",
    "engine_polls_begin", "engine_polls_get", "merge_begin", "fate_try", "fate_make",
    "fates_open", "fates_relieve", "wait_begin",
    "held_get", "presence_begin", "name_have", "redis_expect_get", "ask_get", "copy_send",
    "redis_rest_room", "nodes_hear", "node_make", "redis_lent_get",
]
# Places that need none, and why.
START = "a start that fails is a clear error, and the simulation begins behind it"
STICKY = "a text that had no room once takes nothing more, and is looked at when it is answered"
RING = "the simulation has a ring of its own, whose shortages are points of its list"
OWN = "under AddressSanitizer every object is an allocation of its own"
VERDICT = "hands the verdict on, or looks at it further down"
EXEMPT = {
    ("core/server.c", None): START,
    ("core/presence.c", "presence_new"): START,
    ("ha/peer/peer_port.c", "peer_open"): START,
    ("ha/redis/link.c", "link_init"): START,
    ("ha/redis/link.c", "out_clear"): "the larger one stays",
    ("ha/redis/nodes.c", "nodes_init"): START,
    ("ha/redis/redis_acks.c", "redis_acks_init"): START,
    ("ha/redis/redis_cluster.c", "redis_cluster_open"): START,
    ("ha/redis/redis_out.c", "redis_out_deliver"): VERDICT,
    ("ha/redis/redis_out.c", "redis_out_command"): VERDICT,
    ("core/queue.h", None): START,
    ("core/mailbox.c", "post_init"): START,
    ("core/holders.c", "holders_new"): START,
    ("core/addresses.c", "addresses_new"): START,
    ("core/worker.c", "tables_open"): START,
    ("core/endpoint.c", "endpoint_open"): START,
    ("ingest/gate/gate.c", "gate_init"): START,
    ("proto/http/http_context.c", None): START,
    ("proto/web/sse.c", "sse_init"): START,
    ("ingest/api/api_context.c", None): START,
    ("proto/web/eio/engine.c", "engines_init"): START,
    ("core/sandbox.c", None): START,
    ("ha/store/restore.c", None): START,
    ("ha/store/ended.c", None): START,
    ("ha/store/restore_bring.c", None): START,
    ("ha/store/disk_store.c", "fates_make_room"): VERDICT,
    ("ha/store/journal.c", "journal_map"): START,
    ("ha/store/survey.c", "survey_open"): START,
    ("core/ring.c", None): RING,
    ("core/base/map.c", None): OWN,
    ("core/pool.c", "pool_grow"): OWN,
    ("core/block_cache.c", None): OWN,
    ("core/base/table.c", "segment_have"): VERDICT,
    ("core/arrival.c", "address_hold"): VERDICT,
    ("core/arrival.c", "address_enter"): VERDICT,
    ("core/broadcast.c", "batch_for"): VERDICT,
    ("core/broadcast.c", "session_visit"): VERDICT,
    ("core/fanout.c", "run_batch"): VERDICT,
    ("core/fanout.c", "entries_get"): VERDICT,
    ("core/fanout.c", "session_visit"): VERDICT,
    ("core/handover.c", "input_arrive"): VERDICT,
    ("core/hub.c", "room_for_copies"): VERDICT,
    ("ingest/gate/dedup.c", "entry_make"): VERDICT,
    ("ingest/gate/gate.c", "pending_claim"): VERDICT,
    ("ingest/gate/gate.c", "pending_send"): VERDICT,
    ("ingest/gate/gate.c", "on_memory_short"): VERDICT,
    ("core/fates.c", "fate_make"): VERDICT,
    ("proto/http/http_connection.c", "forwarded_look"): VERDICT,
    ("ingest/api/api.c", "api_admit_push"): VERDICT,
    ("core/memory.c", "budget_take"): VERDICT,
    ("core/quota.c", "quota_take"): VERDICT,
    ("core/base/crash.c", None): START,
    ("ingest/api/api_groups.c", "members_run"): VERDICT,
    ("ingest/api/api_groups.c", "members_finish"): VERDICT,
    ("ingest/api/api_metrics.c", None): STICKY,
    ("ingest/api/api_clients.c", "presence_finish"): STICKY,
    ("ingest/api/api_fates.c", "pending_finish"): STICKY,
    ("ingest/api/api_clients.c", "join_visit"): VERDICT,
    ("proto/client/registration.c", "registration_enter"): VERDICT,
    ("proto/client/registration.c", "registration_join"): VERDICT,
    ("proto/client/registration.c", "registration_change"): VERDICT,
}
ROOMS = ("core/", "proto/", "ingest/", "ha/")
# What was taken is looked at within so many lines.
LOOK_LINES = 4

TAKE = re.compile(r"(?<![\w.>])(" + "|".join(TAKES) + r")\s*\(")
LOOKED_AT = re.compile(r"\bSHORTAGE\s*\(|\bSHORTAGE_MET\s*\(|\bCHECK\s*\(")
FUNCTION = re.compile(r"^[A-Za-z_].*?\b(\w+)\(")


def shortages_missing(path, lines):
    """`lines` without comments. Yields number and message."""
    if not path.startswith(ROOMS) or not path.endswith((".c", ".h")):
        return
    function = None
    for number, line in enumerate(lines, 1):
        begins = FUNCTION.match(line)
        if begins:
            function = begins.group(1)
        if not line.startswith((" ", "\t")):
            continue
        match = TAKE.search(line)
        if match is None or (path, None) in EXEMPT or (path, function) in EXEMPT:
            continue
        around = "\n".join(lines[max(0, number - 3):number + LOOK_LINES])
        if not LOOKED_AT.search(around):
            yield number, f"{match.group(1)}() without a SHORTAGE ({function})"
