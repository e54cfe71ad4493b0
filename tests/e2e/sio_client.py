"""A client of python-socketio, told by lines of JSON what to do and telling by lines of JSON what
it gets, in the words of npm/sio_client.js:

    python3 sio_client.py sync|async

`sync` is socketio.Client (on requests and websocket-client), `async` socketio.AsyncClient (on
aiohttp). Run by whatever Python has the package; no test by itself."""

import asyncio
import base64
import itertools
import json
import logging
import os
import sys
import threading
import urllib.parse

import socketio

logging.disable()
sockets = {}
waiting = {}  # by number: events whose handler returns only when it is told to
numbers = itertools.count(1)
out = threading.Lock()


def tell(**what):
    with out:
        sys.stdout.write(json.dumps(what) + "\n")
        sys.stdout.flush()


def pack(value):
    if isinstance(value, bytes):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, (list, tuple)):
        return [pack(one) for one in value]
    if isinstance(value, dict):
        return {key: pack(one) for key, one in value.items()}
    return value


def unpack(value):
    if isinstance(value, list):
        return [unpack(one) for one in value]
    if isinstance(value, dict):
        if "$bytes" in value:
            return base64.b64decode(value["$bytes"])
        return {key: unpack(one) for key, one in value.items()}
    return value


def parts(command):
    """How the client is made, and how it connects."""
    options = command["options"]
    url = urllib.parse.urlsplit(command["url"])
    make = {"reconnection_delay": options.get("reconnectionDelay", 1000) / 1000,
            "reconnection_delay_max": options.get("reconnectionDelayMax", 5000) / 1000,
            "handle_sigint": False}
    connect = {"url": f"{url.scheme}://{url.netloc}", "namespaces": [url.path or "/"],
               "transports": options.get("transports"), "auth": options.get("auth")}
    return make, connect


def arguments(command):
    args = tuple(unpack(command.get("args", [])))
    return args[0] if len(args) == 1 else args


def refused(as_, error):
    """Of a namespace; the exception of connect() says no more."""
    message = error["message"] if isinstance(error, dict) else error
    tell(**{"as": as_}, got="connect_error", error={"error": message, "data": pack(error)})


def called(call):
    return lambda *answer: tell(got="answer", call=call, args=pack(answer))


class Sync:
    def do(self, command):
        as_ = command.get("as")
        what = command["do"]
        if what == "open":
            # Until it is connected; what else is to be done does not wait for that.
            threading.Thread(target=self.open, args=(command, as_), daemon=True).start()
        elif what == "emit":
            sockets[as_].emit(command["event"], arguments(command), callback=called(
                command["call"]) if "call" in command else None)
        elif what == "transport":
            tell(got="transport", name=sockets[as_].transport())
        elif what == "answer":
            waiting[command["wants"]].set()

    def open(self, command, as_):
        make, connect = parts(command)
        namespace = connect["namespaces"][0]
        client = sockets[as_] = socketio.Client(**make)

        def heard(event, *args):
            number = next(numbers)
            waiting[number] = threading.Event()
            tell(**{"as": as_}, got="event", event=event, args=pack(args), wants=number)
            if not command.get("answers", True):
                waiting[number].wait()
        client.on("connect", lambda: tell(**{"as": as_}, got="connect",
                                          id=client.get_sid(namespace)), namespace)
        client.on("disconnect", lambda: tell(**{"as": as_}, got="disconnect"), namespace)
        client.on("connect_error", lambda error: refused(as_, error), namespace)
        client.on("*", heard, namespace)
        try:
            client.connect(**connect)
        except socketio.exceptions.ConnectionError:
            pass

    def run(self):
        for line in sys.stdin:
            self.do(json.loads(line))


class Async:
    async def do(self, command):
        as_ = command.get("as")
        what = command["do"]
        if what == "open":
            await self.open(command, as_)
        elif what == "emit":
            await sockets[as_].emit(command["event"], arguments(command), callback=called(
                command["call"]) if "call" in command else None)
        elif what == "transport":
            tell(got="transport", name=sockets[as_].transport())
        elif what == "answer":
            waiting[command["wants"]].set()

    async def open(self, command, as_):
        make, connect = parts(command)
        namespace = connect["namespaces"][0]
        client = sockets[as_] = socketio.AsyncClient(**make)

        async def heard(event, *args):
            number = next(numbers)
            waiting[number] = asyncio.Event()
            tell(**{"as": as_}, got="event", event=event, args=pack(args), wants=number)
            if not command.get("answers", True):
                await waiting[number].wait()
        client.on("connect", lambda: tell(**{"as": as_}, got="connect",
                                          id=client.get_sid(namespace)), namespace)
        client.on("disconnect", lambda: tell(**{"as": as_}, got="disconnect"), namespace)
        client.on("connect_error", lambda error: refused(as_, error), namespace)
        client.on("*", heard, namespace)
        try:
            await client.connect(**connect)
        except socketio.exceptions.ConnectionError:
            pass

    async def all(self):
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            asyncio.ensure_future(self.do(json.loads(line)))

    def run(self):
        asyncio.run(self.all())


if __name__ == "__main__":
    tell(got="ready")
    (Sync if sys.argv[1] == "sync" else Async)().run()
    os._exit(0)  # whatever its threads still wait for
