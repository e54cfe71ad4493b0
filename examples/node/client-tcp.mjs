// A client over TCP, with Node's own modules: node client-tcp.mjs CLIENT [GROUP...]
// Prints each message, acknowledges it, and comes back after every kind of end.
import net from 'node:net';
import {setTimeout as sleep} from 'node:timers/promises';

const [id, ...groups] = process.argv.slice(2);
const [, host, port] = (process.env.RINGPOST_TCP ?? '127.0.0.1:7000').match(/^(.*):(\d+)$/);

// The work of this client. What comes again is not done again: an acknowledgement may have been
// lost, so the ids of what was done are kept for a while.
const done = new Set();
async function work(message) {
  if (done.has(message.id)) return;
  console.log(message.event, JSON.stringify(message.data));
  done.add(message.id);
  if (done.size > 10000) done.delete(done.values().next().value);
}

// One connection. Resolves at its end.
function session() {
  return new Promise((resolve) => {
    const end = {welcomed: false, reconnectMs: null, refused: null};
    const socket = net.connect(port, host);
    const say = (object) => socket.write(JSON.stringify(object) + '\n');
    let rest = '', last = Promise.resolve();

    async function take(heard) {
      if (heard.type === 'welcome') {
        end.welcomed = true;
        // The node pings whoever is silent; one that does not is lost.
        socket.setTimeout((heard.heartbeat + 20) * 1000, () => socket.destroy());
      } else if (heard.type === 'message') {
        await work(heard);
        if (heard.ack) say({type: 'ack', id: heard.id}); // only when the work is done
      } else if (heard.type === 'ping') {
        say({type: 'pong'});
      } else if (heard.type === 'goodbye') {
        end.reconnectMs = heard.reconnect_ms; // the node spreads its clients over time
      } else if (heard.type === 'error') {
        console.error(`${heard.code}: ${heard.message}`);
        if (!end.welcomed && heard.code === 'bad_message') end.refused = heard.message;
      }
    }
    socket.setEncoding('utf8');
    socket.on('connect', () => say({type: 'hello', id, groups}));
    socket.on('data', (text) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop();
      for (const line of lines) last = last.then(() => take(JSON.parse(line))); // one by one
    });
    socket.on('error', () => {}); // 'close' follows
    socket.on('close', () => last.finally(() => resolve(end)));
  });
}

for (let failed = 0; ;) {
  const {welcomed, reconnectMs, refused} = await session();
  if (refused) process.exit(1); // it would be refused again
  failed = welcomed ? 0 : failed + 1;
  const backoffMs = Math.min(30000, 1000 * 2 ** failed) * (0.5 + Math.random() / 2);
  await sleep(reconnectMs ?? backoffMs);
}
