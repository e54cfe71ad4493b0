/* limits.h - every limit that is not a setting, with the arithmetic that ties them together.
 *
 * A limit that a user may want to move is a setting (config.h); what stands here is the shape of
 * the machine. Units are in the names. Threads: any (constants). */
#ifndef RINGPOST_CORE_LIMITS_H
#define RINGPOST_CORE_LIMITS_H

/* A set of endpoints (the holders of a name) is one 64-bit word: workers, and then ports, the
 * threads that speak to something else (port.h). */
#define WORKERS_MAX 56
#define PORTS_MAX 8
#define ENDPOINTS_MAX (WORKERS_MAX + PORTS_MAX)

/* Names and messages, as the contract has them. */
#define NAME_BYTES_MAX 128
#define MESSAGE_ID_BYTES_MAX 64
#define GROUPS_PER_SESSION_MAX 64
/* Namespaces are separate worlds of names and broadcasts, each known by its number: 0 is `/`, where
 * every session is that says nothing else. */
#define NAMESPACES_MAX 16
#define NAMESPACE_MAIN 0
#define NAMESPACE_BYTES_MAX 64
#define ADDRESSES_PER_MESSAGE_MAX 1000
#define BATCH_MESSAGES_MAX 1000
#define LINE_SLACK_BYTES 4096 /* a line or frame may be this much longer than max_message */
#define HELLO_BYTES_MAX 16384
#define CONTROL_LINE_BYTES_MAX 4096

/* Settings that name addresses or keys are lists of at most this many. */
#define LISTENERS_MAX 16
#define API_KEYS_MAX 64
#define ORIGINS_MAX 64
#define PROXY_NETS_MAX 32
#define ALERT_MAILS_MAX 16
#define REDIS_SERVERS_MAX 16 /* that channels are spread over */
#define AMQP_URLS_MAX 8
#define AMQP_QUEUES_MAX 16
#define AMQP_REPLIES_MAX 16

/* The ring of one worker. The sizes that are wanted, and the floor below which a start fails. */
#define RING_SQ_ENTRIES 4096
#define RING_SQ_ENTRIES_MIN 256
#define RING_CQ_ENTRIES 65536
#define RING_CQ_ENTRIES_MIN 4096
#define RECEIVE_BUFFER_BYTES 4096
#define RECEIVE_BUFFERS 256
#define RECEIVE_BUFFERS_MIN 64
#define GATHERED_MAX 128 /* completions; receiving for more would take a turn's time by itself */
/* What waits in a socket before it is read is bounded, too, for two reasons: memory, and that what
 * is pushed by many at once is read soon (or refused soon). A large body over a path of 50 ms comes
 * at 1.3 MB/s. */
#define RECEIVE_SOCKET_BYTES (64 * 1024)
#define FILES_MAX (1u << 20) /* the kernel's own limit for one table */

/* Operators get in when clients have taken every place: so many connections of `api` beyond
 * --max-connections. Each table of files has places for them; place 0 stays empty, as slot 0 does.
 */
#define API_CONNECTIONS_SPARE 64
#define FILES_SPARE (API_CONNECTIONS_SPARE + 1)

/* A turn gives each kind of work (completions, mail, floods, timers, resumed input, fan-out, calls)
 * a slice of time at most, and all of them together WORK_SLICES; what is left waits for the next
 * turn. A kind that comes when those are used up (or the CPU was away meanwhile) gets a part of a
 * slice, so that it gets on. Mail has MAIL_SLICES: it was accepted before what a turn takes in, and
 * who asks for little waits in it behind those who ask for much. Sends get the rest of TURN_SLICES,
 * which makes 4 ms in all, and a whole slice at least: they empty what the others fill. A send
 * takes 4 to 40 us, in the submit, and a large one as long as copying takes: so many sends, or
 * bytes, are submitted together, after which the clock is read. */
#define WORK_SLICE_NS (500 * 1000)
#define TURN_SLICES 8
#define WORK_SLICES 4
#define MAIL_SLICES 2
#define SLICE_LEAST_PART 8
#define SENDS_PER_SUBMIT 16
#define SENDS_BYTES_PER_SUBMIT (256 * 1024)
#define SENDS_PER_TURN 200
/* Connections that flood are read so many in one go. While deliveries wait they get this share of
 * the time, which refusing (ADMISSION_SHARE_PERCENT) must find room in; so much of it can be saved,
 * or owed. */
#define FLOODS_AT_ONCE 4
#define FLOOD_SHARE_PERCENT 40
#define FLOOD_CREDIT_NS (2 * 1000 * 1000)

/* A message for one name with so many sessions on a worker is delivered at once; one for more is
 * fanned out in slices (fanout.h). Of those so many copies may wait for a worker, or so many times
 * its sessions where that is more. None is made while FANOUT_SENDS_MAX sends of copies wait for
 * their start, or the first of them for FANOUT_LAG_NS: what comes meanwhile is gathered, a session
 * gets it in one send, and that it comes late is seen. With fewer sends broadcasts alone are sooner
 * through; but copies that are made leave with whatever else goes to their connection. */
#define DIRECT_SESSIONS_MAX 64
#define FANOUT_COPIES_MAX 32768
#define FANOUT_BROADCASTS 24 /* what waits together leaves in few sends */
#define FANOUT_SENDS_MAX 2048
#define FANOUT_LAG_NS (10 * 1000 * 1000)
/* The queues of addresses are found by hash. An address whose first message waits for a session's
 * send is given no more after HELD_LATE_NS, until it goes on; so may be another one that has the
 * same of HELD_LATE_PLACES places. */
#define FANOUT_BUCKETS 1024
#define HELD_LATE_PLACES 16384
#define HELD_LATE_WORDS (HELD_LATE_PLACES / 64)
#define HELD_LATE_NS (100 * 1000 * 1000)
/* Producers whose requests a worker tells apart (share.h). */
#define SHARES_MAX 512
/* Of the messages that an endpoint may have under way, this part is for producers that ask for
 * little (hub.h); half of it for those that do so in all, whatever their connections. */
#define REQUESTS_MODEST_PART 8

/* A worker that delivers what it gets later than this, and has done so for LATE_PATIENCE_NS, is
 * given no more until it has caught up. So many times as late it may be made by a connection that
 * asks for little of the only producer, or of one of several that asks for more than its part; and
 * by producers that ask for little in all beside others, who together are no overload (share.h). */
#define LATE_PATIENCE_NS (100 * 1000 * 1000)
#define LATE_NS (25 * 1000 * 1000)
#define LATE_TIMES_LITTLE 4
#define LATE_TIMES_DIVIDED 3
#define LATE_TIMES_LIGHT 8
/* Copies of producers that ask for little beside others that ask for much have so large a part of
 * FANOUT_COPIES_MAX beyond it. */
#define FANOUT_COPIES_LIGHT_PART 8

/* A session whose outbox has no room is slow when within so long it took less than backlog.h asks
 * for; until then whoever pushes waits. Time in which the worker was away, so that a turn took
 * AWAY_NS, does not count, but in SLOW_AT_LAST times as long it is slow anyway. */
#define SLOW_NS (500LL * 1000 * 1000)
#define SLOW_AT_LAST 10
#define AWAY_NS (25 * 1000 * 1000)

/* A connection's deadline that fires so late says more about the worker than about the peer: the
 * process was stopped (SIGSTOP, a frozen container, a machine that was moved) or had no CPU. So
 * does one by which not all that came has been read (reading.h). It fires again after the grace. */
#define DEADLINE_LATE_NS (500 * 1000 * 1000)
#define DEADLINE_GRACE_NS (1000LL * 1000 * 1000)

/* A worker that comes to what its peers say so late is overloaded, until it did not for so long. */
#define READ_LATE_NS (500 * 1000 * 1000)
#define READ_OVER_NS (2LL * 1000 * 1000 * 1000)

/* A listener takes so many connections in a turn at most. Each costs its worker some 30 us until it
 * is greeted, so these are a slice (WORK_SLICE_NS). Where what had come waits longer than
 * ACCEPT_LATE_NS for the worker, which is a little more than a turn, the listener takes
 * ACCEPTS_LATE in each ACCEPT_PAUSE_NS, and no more than these in a turn, which lasts longer where
 * the worker has little of a CPU: 1,000 a second, which are 3 % of its time. For producers and
 * operators, who are few, it is twice as much. */
#define ACCEPTS_MAX 16
#define ACCEPT_LATE_NS (5 * 1000 * 1000)
#define ACCEPTS_LATE 2
#define ACCEPTS_LATE_API 4
#define ACCEPT_PAUSE_NS (2 * 1000 * 1000)

/* A send gathers at most so many runs and bytes; the rest follows in the next one. */
#define SEND_RUNS_MAX 256
#define SEND_BYTES_MAX (256 * 1024)
#define SEND_BYTES_MIN (16 * 1024) /* where that is more than a quarter of a small outbox */

/* Mailboxes: one ring for each ordered pair of endpoints. All of them together use at most this
 * much memory; the slots of one follow from that and the number of workers (mailbox.h). */
#define MAILBOX_BYTES_ALL (64 * 1024 * 1024)
#define MAILBOX_SLOTS_MAX 32768
#define MAILBOX_SLOTS_MIN 512

/* Calls: what an operator asks of all workers (call.h). So many of one worker may be under way;
 * what they tell takes a quarter of --memory together, and what is needed when the memory is full
 * has so much beyond it. */
#define CALLS_MAX 1024
#define ANSWERS_SHARE 4
#define ANSWER_RESERVE_BYTES (1024 * 1024)

/* Trails (trail.h) take such a part of --memory at most. Whether there are any of a client id is
 * known for so many places, by hash. */
#define TRAILS_SHARE 32
#define TRAIL_PLACES 4096

/* A message to be acknowledged waits so long for the store at most. */
#define STORE_ANSWER_NS (10LL * 1000 * 1000 * 1000)
/* A store whose turn lasts so long is taken for one that hangs: what comes next is refused at once.
 */
#define STORE_SILENT_NS (3LL * 1000 * 1000 * 1000)
/* The end of the process waits so long for the store and other ports. */
#define PORT_STOP_NS (5LL * 1000 * 1000 * 1000)

/* Waits of a worker that are no publishes, and connections that such waits concern (wait.h), which
 * are found by hash. */
#define WAITS_MAX 16384
#define WAIT_CONCERNS_MAX 65536
#define WAIT_BUCKETS 1024

/* Replies that a peer has not taken (reply.h): of a connection that is still read, so many bytes;
 * while the memory is full, so few; what is short; what a worker has for them then, beyond
 * --memory; and how long a peer may take nothing while that is used up. */
#define REPLY_BYTES_MAX (256 * 1024)
#define REPLY_FEW_BYTES 4096
#define REPLY_SHORT_BYTES 2048
#define REPLIES_BEYOND_BYTES (256 * 1024)
#define UNREAD_NS (500 * 1000 * 1000)

/* HTTP. */
#define HTTP_PIPELINE_MAX 4096 /* requests of one connection whose answers are still owed */

_Static_assert(ENDPOINTS_MAX <= 64, "a set of endpoints must fit one word");
_Static_assert(ACCEPTS_MAX <= 32, "the armed accepts of a listener must fit one word");
_Static_assert(RECEIVE_BUFFERS <= 32768, "buffer ids are 15 bits in the provided ring");
_Static_assert((RECEIVE_BUFFERS & (RECEIVE_BUFFERS - 1)) == 0,
               "the buffer ring wants a power of two");

#endif
