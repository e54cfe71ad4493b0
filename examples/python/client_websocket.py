"""A client over WebSocket, with Debian's python3-websockets:
python3 client_websocket.py CLIENT [GROUP...]

Prints each message, acknowledges it, and comes back after every end but its operator's."""

import asyncio
import collections
import json
import os
import random
import sys

import websockets

URL = os.environ.get("RINGPOST_WS", "ws://127.0.0.1:8080/ws")

# What comes again is not done again: an acknowledgement may have been lost, so the ids of what was
# done are kept for a while.
done = collections.OrderedDict()


def work(message):
    if message["id"] in done:
        return
    print(message["event"], json.dumps(message["data"]), flush=True)
    done[message["id"]] = True
    if len(done) > 10000:
        done.popitem(last=False)


class Session:
    """One connection, and what is to be known when it has ended."""
    welcomed, reconnect_s, code = False, None, None

    async def run(self, client_id, groups):
        # The package pings by itself, answers the node's pings, and finds out who is lost.
        async with websockets.connect(URL, subprotocols=["ringpost.v1"]) as socket:
            await socket.send(json.dumps({"type": "hello", "id": client_id, "groups": groups}))
            try:
                async for text in socket:
                    await self.take(socket, json.loads(text))
            finally:
                self.code = socket.close_code

    async def take(self, socket, heard):
        if heard["type"] == "welcome":
            self.welcomed = True
        elif heard["type"] == "message":
            work(heard)
            if heard.get("ack"):  # only when the work is done
                await socket.send(json.dumps({"type": "ack", "id": heard["id"]}))
        elif heard["type"] == "goodbye":  # the node spreads its clients over time
            self.reconnect_s = heard["reconnect_ms"] / 1000
        elif heard["type"] == "error":
            print(heard["code"], heard["message"], file=sys.stderr)


async def main(client_id, *groups):
    failed = 0
    while True:
        session = Session()
        try:
            await session.run(client_id, groups)
        except (OSError, asyncio.TimeoutError, websockets.WebSocketException):
            pass  # refused, reset or silent
        if session.code == 1000:
            return  # an operator closed this session
        failed = 0 if session.welcomed else failed + 1
        if session.reconnect_s is None:
            session.reconnect_s = min(30, 2 ** failed) * random.uniform(0.5, 1)
        await asyncio.sleep(session.reconnect_s)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
