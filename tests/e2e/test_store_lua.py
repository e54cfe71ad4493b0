"""A till in Lua is killed in the middle of a thousand payments, and its node after it; both come
back: what the producer was told, what the till got and what the node says agree for each."""

import contextlib
import http.client
import re
import subprocess
import threading
import unittest

from stored import ONCE, ONCE_WHY, Data, Stored, fates
from support import DEADLINE_S, wait_until
from test_ack import pending
from test_clients import HERE, LUA

PAYMENTS = 1000
WINDOW = 16


class Till:
    """The program, started again as often as wanted; all that it has printed."""

    def __init__(self, framing, folder):
        self.framing, self.folder = framing, folder
        self.paths, self.process = [], None

    def start(self, node):
        self.paths.append(f"{self.folder}/till{len(self.paths)}")
        with open(self.paths[-1], "wb") as printed:
            self.process = subprocess.Popen(
                [LUA, str(HERE / "till.lua"), self.framing, str(node.address("tcp")[1]), "till-7",
                 "1000000"], stdout=printed, stderr=subprocess.DEVNULL)
        with open(self.paths[-1], encoding="ascii") as printed:
            wait_until("the till is ready", printed.readline)

    def kill(self):
        self.process.kill()
        self.process.wait(DEADLINE_S)

    def heard(self):
        payments = []
        for path in self.paths:
            with open(path, encoding="ascii") as printed:
                for line in list(printed)[1:]:
                    text = bytes.fromhex(line).decode() if line[-1] == "\n" else ""
                    payments += re.findall(r'"payment": (\d+)', text)
        return [int(payment) for payment in payments]


class Shop(threading.Thread):
    """Pushes one payment after the other, each again until it is answered."""

    def __init__(self, node):
        super().__init__(daemon=True)
        self.node, self.answers, self.repeated = node, {}, 0

    def run(self):
        while len(self.answers) < PAYMENTS:
            number = len(self.answers)
            with contextlib.suppress(OSError, http.client.HTTPException):
                status, answer, _ = self.node.message(to="till-7", ack=True, id=f"p{number}",
                                                      data={"payment": number})
                if status in (200, 202):
                    self.answers[f"p{number}"] = (status, answer["state"])
                    continue
            self.repeated += 1
            threading.Event().wait(0.01)

    def wait(self, count):
        wait_until(f"{count} are taken", lambda: len(self.answers) >= count)


@unittest.skipIf(LUA is None, "no lua")
@unittest.skipIf(ONCE, ONCE_WHY)
class Lua(Stored):
    def payments(self, framing):
        with Data("--ack-window", str(WINDOW)) as data:
            node = data.node(workers=3)
            till, shop = Till(framing, data.folder.name), Shop(node)
            till.start(node)
            shop.start()
            shop.wait(PAYMENTS // 3)
            till.kill()
            shop.wait(PAYMENTS // 2)
            node.kill()
            wait_until("the shop has noticed", lambda: shop.repeated != 0)
            node = shop.node = data.node(workers=3)
            till.start(node)
            shop.join(DEADLINE_S)
            wait_until("all are acknowledged", lambda: pending(node) == 0)
            names = [f"p{number}" for number in range(PAYMENTS)]
            self.assertEqual(list(shop.answers), names)
            # One may have been taken, and the answer lost with the node.
            again = [name for name, (_, state) in shop.answers.items() if state == "duplicate"]
            self.assertLessEqual(len(again), 1)
            got = till.heard()
            self.assertEqual(sorted(set(got)), list(range(PAYMENTS)))
            self.assertLessEqual(len(got) - PAYMENTS, WINDOW)
            firsts = list(dict.fromkeys(got))
            self.assertEqual(firsts, sorted(firsts))
            self.told(node, names)
            for one in fates(node, names).values():
                self.assertEqual(one["to"], {"till-7": "acked"})
            till.kill()
            self.settled(node)
            node.stop()

    def test_lines(self):
        self.payments("lines")

    def test_counted(self):
        self.payments("counted")


if __name__ == "__main__":
    unittest.main()
