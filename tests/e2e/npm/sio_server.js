// A stock Socket.IO server with its Redis adapter, and an emitter of the same age, told by lines of
// JSON what to do:
//
//   node sio_server.js MODULES VERSION REDIS-PORT KEY MODE   {"do":"emit","event":"a","rooms":[]}
//
// VERSION is 4 or 2. With a MODE it has the sharded adapter in that mode. It tells by lines of JSON what it gets. Bytes are {"$bytes":"<base64>"} both
// ways.
"use strict";

const http = require("http");
const path = require("path");
const readline = require("readline");

const [, , modules, version, redisPort, key, subscriptionMode] = process.argv;
const load = (name) => require(path.join(modules, name));
const modern = version === "4";

function tell(what) {
  process.stdout.write(JSON.stringify(what) + "\n");
}

function pack(value) {
  if (Buffer.isBuffer(value)) return { $bytes: value.toString("base64") };
  if (Array.isArray(value)) return value.map(pack);
  if (value instanceof Error) return { error: value.message };
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, pack(v)]));
  }
  return value;
}

function unpack(value) {
  if (Array.isArray(value)) return value.map(unpack);
  if (value && typeof value === "object") {
    if ("$bytes" in value) return Buffer.from(value.$bytes, "base64");
    if ("$date" in value) return new Date(value.$date);
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, unpack(v)]));
  }
  return value;
}

// Whatever is answered later, by number.
function answer(command, promise) {
  promise.then(
    (result) => tell({ got: "answer", call: command.call, result: pack(result) }),
    (error) => tell({ got: "answer", call: command.call, error: error.message }));
}

// The nodeback of old versions.
function called(act) {
  return new Promise((done, failed) => act((error, result) => error ? failed(error)
                                                                     : done(result)));
}

// Whom it is about: chained as an application does.
function whom(target, command) {
  for (const room of command.rooms || []) target = target.to(room);
  for (const room of command.except || []) target = target.except(room);
  if (command.volatile) target = target.volatile;
  return target;
}

function watch(io, names) {
  for (const name of names) {
    io.of(name).on("connection", (socket) => {
      socket.on("join", (room, done) => {
        socket.join(room);
        done();
      });
      // As chat servers do: to everybody else.
      socket.on("relay", (event, ...args) => socket.broadcast.emit(event, ...args));
      tell({ got: "connection", nsp: name, id: socket.id });
    });
  }
}

async function start() {
  const server = http.createServer();
  let io, emitter;
  if (modern) {
    const { createClient } = load("redis");
    const clients = [0, 1, 2].map(() => createClient({ url: `redis://127.0.0.1:${redisPort}` }));
    for (const client of clients) client.on("error", (error) => tell({ got: "error",
                                                                       error: error.message }));
    await Promise.all(clients.map((client) => client.connect()));
    const { createAdapter, createShardedAdapter } = load("@socket.io/redis-adapter");
    const { Emitter } = load("@socket.io/redis-emitter");
    io = new (load("socket.io").Server)(server);
    io.adapter(subscriptionMode
      ? createShardedAdapter(clients[0], clients[1], { channelPrefix: key, subscriptionMode })
      : createAdapter(clients[0], clients[1], { key }));
    emitter = new Emitter(clients[2], { key });
  } else {
    io = load("socket.io-2")(server);
    io.adapter(load("socket.io-redis-5")({ host: "127.0.0.1", port: Number(redisPort), key }));
    emitter = load("socket.io-emitter")({ host: "127.0.0.1", port: Number(redisPort), key });
  }
  watch(io, ["/", "/admin"]);
  const of = (command) => io.of(command.nsp || "/");
  const does = {
    emit(command) {
      whom(of(command), command).emit(command.event, ...unpack(command.args || []));
    },
    emitter(command) {
      const target = command.nsp ? emitter.of(command.nsp) : emitter;
      whom(target, command).emit(command.event, ...unpack(command.args || []));
    },
    fetch(command) {
      answer(command, whom(of(command), command).fetchSockets().then((sockets) => sockets.map(
        ({ id, rooms, data, handshake }) => ({ id, rooms: [...rooms], data,
                                               address: handshake.address }))));
    },
    ids(command) {
      answer(command, modern ? whom(of(command), command).allSockets().then((ids) => [...ids])
        : called((done) => whom(of(command), command).clients(done)));
    },
    rooms(command) {
      answer(command, modern ? of(command).adapter.allRooms().then((rooms) => [...rooms])
        : called((done) => of(command).adapter.allRooms(done)));
    },
    join(command) {
      if (modern) whom(of(command), command).socketsJoin(command.with);
      else answer(command, called((done) => of(command).adapter.remoteJoin(
        command.id, command.with, done)));
    },
    leave(command) {
      if (modern) whom(of(command), command).socketsLeave(command.with);
      else answer(command, called((done) => of(command).adapter.remoteLeave(
        command.id, command.with, done)));
    },
    disconnect(command) {
      if (modern) whom(of(command), command).disconnectSockets(command.close);
      else answer(command, called((done) => of(command).adapter.remoteDisconnect(
        command.id, command.close, done)));
    },
    roomsOf(command) {
      answer(command, called((done) => of(command).adapter.clientRooms(command.id, done)));
    },
    serverEmit(command) {
      answer(command, modern ? io.serverSideEmitWithAck("ping", 1)
        : called((done) => of(command).adapter.customRequest(1, done)));
    },
    acked(command) {
      answer(command, whom(io, command).timeout(command.ms).emitWithAck(command.event, 1));
    },
  };
  server.listen(0, "127.0.0.1", () => {
    readline.createInterface({ input: process.stdin })
      .on("line", (line) => {
        const command = JSON.parse(line);
        does[command.do](command);
      })
      .on("close", () => process.exit(0));
    tell({ got: "ready", port: server.address().port });
  });
}

start();
