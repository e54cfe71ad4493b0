// A client of one of the published socket.io-client packages, told by lines of JSON what to do:
//
//   node sio_client.js MODULES PACKAGE        {"do":"open","as":"a","url":"...","options":{}}
//
// and telling by lines of JSON what it gets. Bytes are {"$bytes":"<base64>"} both ways.
"use strict";

const path = require("path");
const readline = require("readline");

const io = require(path.join(process.argv[2], process.argv[3]));
const sockets = {};
const callbacks = {};  // by number: those that a message brought
let next = 1;

function tell(what) {
  process.stdout.write(JSON.stringify(what) + "\n");
}

function pack(value) {
  if (Buffer.isBuffer(value)) return { $bytes: value.toString("base64") };
  if (value instanceof ArrayBuffer) return pack(Buffer.from(value));
  if (Array.isArray(value)) return value.map(pack);
  if (value instanceof Error) return { error: value.message, data: value.data };
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, pack(v)]));
  }
  return value;
}

function unpack(value) {
  if (Array.isArray(value)) return value.map(unpack);
  if (value && typeof value === "object") {
    if ("$bytes" in value) return Buffer.from(value.$bytes, "base64");
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, unpack(v)]));
  }
  return value;
}

function open(command) {
  const as = command.as;
  const socket = io(command.url, command.options);
  sockets[as] = socket;
  socket.on("connect", () => tell({ as, got: "connect", id: socket.id }));
  socket.on("disconnect", (reason) => tell({ as, got: "disconnect", reason }));
  for (const name of ["connect_error", "error"]) {
    socket.on(name, (error) => tell({ as, got: name, error: pack(error) }));
  }
  for (const name of command.events || ["message"]) {
    socket.on(name, (...args) => {
      let wants = null;
      if (typeof args[args.length - 1] === "function") {
        wants = next++;
        callbacks[wants] = args.pop();
        if (command.answers !== false) callbacks[wants]();
      }
      tell({ as, got: "event", event: name, args: pack(args), wants });
    });
  }
}

const does = {
  open,
  emit(command) {
    const args = unpack(command.args || []);
    if (command.call !== undefined) {
      args.push((...answer) => tell({ got: "answer", call: command.call, args: pack(answer) }));
    }
    sockets[command.as].emit(command.event, ...args);
  },
  answer(command) {
    callbacks[command.wants]();
  },
  transport(command) {
    tell({ got: "transport", name: sockets[command.as].io.engine.transport.name });
  },
  // The transport ends, and the client comes back by itself.
  cut(command) {
    sockets[command.as].io.engine.close();
  },
  close(command) {
    sockets[command.as].close();
  },
};

readline.createInterface({ input: process.stdin })
  .on("line", (line) => {
    const command = JSON.parse(line);
    does[command.do](command);
  })
  .on("close", () => process.exit(0));
tell({ got: "ready" });
