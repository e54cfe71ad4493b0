"""A node is killed in the middle of a flood of acknowledged messages: nothing that was answered is
lost, and nothing comes again whose acknowledgement was told."""

import contextlib
import json
import os
import random
import re
import socket
import threading
import time
import unittest

from stored import ONCE, ONCE_WHY, Data, Stored, fates, http_answer
from support import DEADLINE_S, JsonClient, Socket, wait_until
from test_ack import pending

FULL = os.environ.get("RINGPOST_FULL") == "1"
KILLS = 17 if FULL else 1  # of each policy
TILLS = [f"till-{i}" for i in range(20)]
AWAY = "till-0"  # is not there until the node was killed
BATCH = 100
MESSAGE = re.compile(rb'\{"type":"message","id":"([^"]+)"[^\n]*\n')
GONE = (OSError, AssertionError, ValueError)


class Thread(threading.Thread):
    """Works until its node is gone."""

    def __init__(self):
        super().__init__(daemon=True)
        self.broken = None

    def run(self):
        try:
            self.work()
        except GONE:
            pass
        except Exception as error:  # pylint: disable=broad-except
            self.broken = error


class Producer(Thread):
    """Pushes batches; `took` is what was answered 202, `full` what was refused for want of room."""

    def __init__(self, node, name):
        super().__init__()
        self.node, self.name_of = node, name
        self.took, self.full, self.others = [], set(), []

    def work(self):
        count = 0
        with Socket(self.node.address("api")) as to:
            while True:
                lines = [json.dumps({"to": TILLS[n % len(TILLS)], "ack": True,
                                     "id": f"{self.name_of}.{n}", "data": {"payment": n}})
                         for n in range(count, count + BATCH)]
                body = "\n".join(lines)
                to.send("POST /v1/messages HTTP/1.1\r\nHost: localhost\r\n"
                        "Content-Type: application/x-ndjson\r\n"
                        f"Content-Length: {len(body)}\r\n\r\n{body}")
                status, answers = http_answer(to)
                if status == 200:
                    for n, answer in enumerate(answers.splitlines()):
                        self.note(f"{self.name_of}.{count + n}", json.loads(answer))
                    count += BATCH
                elif status != 503:
                    self.others.append((status, answers))

    def note(self, name, answer):
        if answer["status"] == 202:
            self.took.append(name)
        elif answer["status"] == 503 and answer["error"]["code"] == "overloaded":
            self.full.add(name)
        else:
            self.others.append(answer)


class Till(Thread):
    """Acknowledges all that comes, or keeps a tenth of it to itself."""

    def __init__(self, node, client_id, picky):
        super().__init__()
        self.picky = picky
        self.got, self.again, self.acked = [], set(), []
        self.client = JsonClient(node, client_id)
        self.start()

    def work(self):
        client = self.client
        while True:
            end = client.buffer.rfind(b"\n") + 1
            whole, client.buffer = client.buffer[:end], client.buffer[end:]
            self.take(whole)
            some = client.socket.recv(1 << 18)
            if not some:
                return
            client.buffer += some

    def take(self, lines):
        names = []
        for match in MESSAGE.finditer(lines):
            names.append(match.group(1).decode())
            if b'"redelivered":true' in match.group(0):
                self.again.add(names[-1])
        self.got += names
        if self.picky:
            names = [name for name in names if not name.endswith("7")]
        for at in range(0, len(names), 500):
            self.client.say(type="ack", ids=names[at:at + 500])
        self.acked += names

    def close(self):
        with contextlib.suppress(OSError):
            self.client.socket.shutdown(socket.SHUT_RDWR)
        self.join(DEADLINE_S)
        self.client.close()


class Asker(Thread):
    """Asks all the while what has become of what tills have acknowledged."""

    def __init__(self, node, tills):
        super().__init__()
        self.node, self.tills = node, tills
        self.told = set()

    def work(self):
        at = [0] * len(self.tills)
        while True:
            for i, till in enumerate(self.tills):
                names = till.acked[at[i]:at[i] + 50]
                at[i] += len(names)
                for name, fate in fates(self.node, names).items():
                    if fate["state"] == "acked":
                        self.told.add(name)
            time.sleep(0.001)


@unittest.skipIf(ONCE, ONCE_WHY)
class Killed(Stored):
    def flood(self, node, number):
        """Runs until the node is killed, at any moment; gives who took part."""
        tills = [Till(node, name, picky=i % 4 == 0) for i, name in enumerate(TILLS)
                 if name != AWAY]
        producers = [Producer(node, f"{number}-{i}") for i in range(3)]
        asker = Asker(node, tills)
        for one in [*producers, asker]:
            one.start()
        wait_until("the flood is there", lambda: asker.told or asker.broken)
        began = time.monotonic()
        before = sum(len(one.took) for one in producers)
        time.sleep(random.uniform(0.1, 0.8))
        took = sum(len(one.took) for one in producers)
        rate = (took - before) / (time.monotonic() - began)
        node.kill()
        print(f"{took} messages, {rate:.0f} a second")
        for one in [*tills, *producers, asker]:
            one.join(DEADLINE_S)
            self.assertFalse(one.is_alive())
            self.assertIsNone(one.broken)
        for one in producers:
            self.assertEqual(one.others, [])
        for till in tills:
            till.close()
        return tills, producers, asker.told

    def check(self, node, tills, producers, told):
        took = [name for one in producers for name in one.took]
        full = {name for one in producers for name in one.full}
        before = {name for till in tills for name in till.got}
        known = fates(node, took)
        self.assertEqual([name for name in took if known[name] is None], [])
        self.assertEqual([name for name in told if known[name]["state"] != "acked"], [])
        collectors = [Till(node, name, picky=False) for name in TILLS]
        self.settled(node)
        for till in collectors:
            till.close()
        after = {name for till in collectors for name in till.got}
        again = {name for till in collectors for name in till.again}
        self.assertEqual(after & told, set())
        self.assertEqual(set(took) - before - after, set())
        self.assertEqual((before | after) & full, set())
        self.assertEqual((before & after) - again, set())
        for till in collectors:
            self.assertEqual(len(till.got), len(set(till.got)))
        self.told(node, took)

    def killed(self, policy):
        with Data("--fsync", policy) as data:
            node = data.node()
            for number in range(KILLS):
                taken_part = self.flood(node, number)
                if number % 2 == 1:  # and again while it starts
                    node = data.node(wait=False)
                    time.sleep(random.uniform(0, 0.3))
                    node.kill()
                node = data.node()
                with self.subTest(kill=number):
                    self.check(node, *taken_part)
            node.stop()

    def test_always(self):
        self.killed("always")

    def test_interval(self):
        self.killed("interval")

    def test_never(self):
        self.killed("never")


if __name__ == "__main__":
    unittest.main()
