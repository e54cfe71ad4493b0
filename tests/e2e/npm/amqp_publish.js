// Publishes as back-ends do that have never heard of ringpost: with amqplib, to a queue that it declares
// itself. Each line of the input is a message; `sent N` is printed when the broker has confirmed it.
//
//   node amqp_publish.js MODULES URL QUEUE
"use strict";

const readline = require("readline");
const [modules, url, queue] = process.argv.slice(2);
const amqplib = require(modules + "/amqplib");

async function main() {
  const connection = await amqplib.connect(url);
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue(queue, { durable: true, arguments: { "x-message-ttl": 600000 } });
  console.log("ready");
  let sent = 0;
  for await (const line of readline.createInterface({ input: process.stdin })) {
    channel.sendToQueue(queue, Buffer.from(line), { persistent: true });
    await channel.waitForConfirms();
    console.log("sent " + ++sent);
  }
  await connection.close();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
