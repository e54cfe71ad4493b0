"""A client over TCP, with the standard library: python3 client_tcp.py CLIENT [GROUP...]

Prints each message, acknowledges it, and comes back after every kind of end."""

import collections
import json
import os
import random
import socket
import sys
import time

HOST, PORT = os.environ.get("RINGPOST_TCP", "127.0.0.1:7000").rsplit(":", 1)

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


def session(client_id, groups):
    """One connection, to its end. Gives whether there was a welcome, and when to come back."""
    welcomed, reconnect_s = False, None
    with socket.create_connection((HOST, int(PORT)), timeout=10) as connection:
        def say(**fields):
            connection.sendall(json.dumps(fields).encode() + b"\n")

        say(type="hello", id=client_id, groups=groups)
        for line in connection.makefile("rb"):
            heard = json.loads(line)
            if heard["type"] == "welcome":
                welcomed = True
                # The node pings whoever is silent; one that does not is lost.
                connection.settimeout(heard["heartbeat"] + 20)
            elif heard["type"] == "message":
                work(heard)
                if heard.get("ack"):  # only when the work is done
                    say(type="ack", id=heard["id"])
            elif heard["type"] == "ping":
                say(type="pong")
            elif heard["type"] == "goodbye":  # the node spreads its clients over time
                reconnect_s = heard["reconnect_ms"] / 1000
            elif heard["type"] == "error":
                print(heard["code"], heard["message"], file=sys.stderr)
                if not welcomed and heard["code"] == "bad_message":
                    sys.exit(1)  # it would be refused again
    return welcomed, reconnect_s


def main(client_id, *groups):
    failed = 0
    while True:
        welcomed, reconnect_s = False, None
        try:
            welcomed, reconnect_s = session(client_id, groups)
        except OSError:
            pass  # refused, reset or silent
        failed = 0 if welcomed else failed + 1
        if reconnect_s is None:
            reconnect_s = min(30, 2 ** failed) * random.uniform(0.5, 1)
        time.sleep(reconnect_s)


if __name__ == "__main__":
    main(*sys.argv[1:])
