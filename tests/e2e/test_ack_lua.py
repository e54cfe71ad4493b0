"""A till in Lua that is killed in the middle of its payments, and comes back: nothing is lost, and
its producer, the till and the node say the same."""

import re
import subprocess
import unittest

from support import DEADLINE_S, SANITIZED, Node, wait_until
from test_ack import Acks, fate, pending, push
from test_clients import HERE, LUA


@unittest.skipIf(LUA is None, "no lua")
class Lua(Acks):
    def payments(self, framing):
        count = 60 if SANITIZED else 300
        with Node("--ack-silence", "2", "--ack-window", "16", workers=3) as node:
            port = str(node.address("tcp")[1])
            accepted, paths = [], []

            def till():
                paths.append(f"{node.folder.name}/till{len(paths)}")
                with open(paths[-1], "wb") as printed:
                    process = subprocess.Popen(
                        [LUA, str(HERE / "till.lua"), framing, port, "till-7", "1000000"],
                        stdout=printed, stderr=subprocess.DEVNULL)
                with open(paths[-1], encoding="ascii") as printed:
                    wait_until("the till is ready", printed.readline)
                return process

            def heard():
                """The payments that the tills have printed, in order."""
                payments = []
                for path in paths:
                    with open(path, encoding="ascii") as printed:
                        for line in list(printed)[1:]:
                            text = bytes.fromhex(line).decode() if line[-1] == "\n" else ""
                            payments += re.findall(r'"payment": (\d+)', text)
                return [int(payment) for payment in payments]

            def pay(first, end):
                for number in range(first, end):
                    answer = push(node, "till-7", {"payment": number}, id=f"p{number}")
                    accepted.append(answer["id"])

            process = till()
            pay(0, count // 3)
            wait_until("some have come", lambda: len(heard()) > count // 6)
            process.kill()
            pay(count // 3, 2 * count // 3)
            process.wait(DEADLINE_S)
            process = till()
            pay(2 * count // 3, count)
            wait_until("all are acknowledged", lambda: pending(node) == 0)
            process.kill()
            process.wait(DEADLINE_S)
            got = heard()
            # What was printed, and not acknowledged when the till was killed, is there twice.
            self.assertEqual(sorted(set(got)), list(range(count)))
            self.assertLessEqual(len(got) - count, 16)
            firsts = list(dict.fromkeys(got))
            self.assertEqual(firsts, sorted(firsts))
            self.assertEqual(accepted, [f"p{number}" for number in range(count)])
            for name in accepted:
                told = fate(node, name)
                self.assertEqual((told["state"], told["to"]), ("acked", {"till-7": "acked"}))
            self.settled(node)

    def test_lines(self):
        self.payments("lines")

    def test_counted(self):
        self.payments("counted")


if __name__ == "__main__":
    unittest.main()
