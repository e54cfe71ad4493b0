// A producer, with Node's own modules: node producer.mjs CLIENT EVENT JSON [ack]
// With `ack` it waits until the client has acknowledged. Says what has become of the message; ends
// with 0 if it was taken, 1 if nobody is there, 2 if it was refused, 3 if no answer came.
import {randomUUID} from 'node:crypto';
import {setTimeout as sleep} from 'node:timers/promises';

const [to, event, json, ack] = process.argv.slice(2);
const api = process.env.RINGPOST_API ?? 'http://127.0.0.1:8081';
const key = process.env.RINGPOST_API_KEY;
const GIVE_UP_MS = 60000;

async function push(message, wait) {
  // One id for all tries: if the node has taken an earlier one, nobody gets the message twice.
  const body = JSON.stringify({id: randomUUID(), ...message});
  const headers = {'Content-Type': 'application/json'};
  if (key) headers.Authorization = `Bearer ${key}`;
  const until = Date.now() + GIVE_UP_MS;
  for (let tries = 0; ; tries++) {
    let pauseMs = Math.min(10000, 500 * 2 ** tries) * (0.5 + Math.random() / 2);
    try {
      const answer = await fetch(`${api}/v1/messages${wait ? '?wait=ack' : ''}`,
        {method: 'POST', headers, body, signal: AbortSignal.timeout(10000)});
      const result = await answer.json();
      // A repeat is told what the first try had come to.
      if (result.state === 'duplicate') return {...result, state: result.now ?? result.first.state};
      if (result.state) return result; // `absent` is a 404 too, but no error
      if (![408, 429, 503].includes(answer.status)) return result;
      pauseMs = 1000 * (Number(answer.headers.get('retry-after')) || pauseMs / 1000);
    } catch { /* no answer: the node may have taken it or not, so the same again */ }
    if (Date.now() + pauseMs > until) return {state: 'unknown'};
    await sleep(pauseMs);
  }
}

const result = await push({to, event, data: JSON.parse(json), ack: ack === 'ack'}, ack === 'ack');
console.log(result.state ?? `${result.error.code}: ${result.error.message}`);
// At once: an idle connection would keep the program for some seconds more.
process.exit({absent: 1, unknown: 3, undefined: 2}[result.state] ?? 0);
