// A client over WebSocket: node client-websocket.mjs CLIENT [GROUP...]
// Takes Node's own WebSocket (version 22 and later, or 20 with --experimental-websocket), or the
// one of the package ws. Prints each message, acknowledges it, and comes back.
import {setTimeout as sleep} from 'node:timers/promises';

const [id, ...groups] = process.argv.slice(2);
const url = process.env.RINGPOST_WS ?? 'ws://127.0.0.1:8080/ws';
const WebSocket = globalThis.WebSocket ?? (await import('ws')).WebSocket;

// The work of this client. What comes again is not done again: an acknowledgement may have been
// lost, so the ids of what was done are kept for a while.
const done = new Set();
function work(message) {
  if (done.has(message.id)) return;
  console.log(message.event, JSON.stringify(message.data));
  done.add(message.id);
  if (done.size > 10000) done.delete(done.values().next().value);
}

// One connection. Resolves at its end.
function session() {
  return new Promise((resolve) => {
    const end = {welcomed: false, reconnectMs: null, code: 0};
    const socket = new WebSocket(url, ['ringpost.v1']);
    const say = (object) => socket.send(JSON.stringify(object));
    let ticks, heardAt;

    socket.onopen = () => say({type: 'hello', id, groups});
    socket.onmessage = (event) => {
      const heard = JSON.parse(event.data);
      heardAt = Date.now();
      if (heard.type === 'welcome') {
        end.welcomed = true;
        // A script does not see the node's heartbeat, so it asks itself whether the node is there.
        const ms = heard.heartbeat * 1000;
        ticks = setInterval(() => {
          if (Date.now() - heardAt < ms + 20000) return say({type: 'ping'});
          finish(); // without waiting for what a dead connection has to say
          socket.close();
        }, ms);
      } else if (heard.type === 'message') {
        work(heard);
        if (heard.ack) say({type: 'ack', id: heard.id}); // only when the work is done
      } else if (heard.type === 'goodbye') {
        end.reconnectMs = heard.reconnect_ms; // the node spreads its clients over time
      } else if (heard.type === 'error') {
        console.error(`${heard.code}: ${heard.message}`);
      }
    };
    function finish() {
      clearInterval(ticks);
      resolve(end);
    }
    socket.onerror = finish; // in Node 20 no close follows one
    socket.onclose = (event) => {
      end.code = event.code;
      finish();
    };
  });
}

for (let failed = 0; ;) {
  const {welcomed, reconnectMs, code} = await session();
  if (code === 1000) break; // an operator closed this session
  failed = welcomed ? 0 : failed + 1;
  const backoffMs = Math.min(30000, 1000 * 2 ** failed) * (0.5 + Math.random() / 2);
  await sleep(reconnectMs ?? backoffMs);
}
