"""What every test checks when it stops its node."""

import copy
import json
import signal
import unittest

from support import JsonClient, Node, ledger_problems


class Audit(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        with Node("--api-key", "secret") as node, JsonClient(node, "till") as till:
            for query in ("", "?volatile=1", "?ack=1"):
                status, _, _ = node.push("till", 1, query, {"Authorization": "Bearer secret"})
                assert status == 202, status
                till.hear_message()
            cls.stats = node.api("GET", "/v1/stats", headers={"Authorization": "Bearer secret"})[1]

    def test_one_too_few(self):
        self.assertEqual(ledger_problems(self.stats), [])
        for path in (("default", "sent"), ("volatile", "made"), ("ack", "accepted"),
                     ("ack", "pending"), ("ack", "dropped", "withdrawn"),
                     ("default", "dropped", "gone")):
            stats = copy.deepcopy(self.stats)
            for ledger in (stats["ledger"], stats["workers"][0]["ledger"]):
                for word in path[:-1]:
                    ledger = ledger[word]
                ledger[path[-1]] += 1
            problems = ledger_problems(stats)
            self.assertEqual(len(problems), 1, problems)
            self.assertIn(f"worker 0, {path[0]}: ", problems[0])

    def test_a_total_of_its_own(self):
        stats = copy.deepcopy(self.stats)
        stats["ledger"]["default"]["sent"] += 1
        self.assertEqual(len(ledger_problems(stats)), 1)

    def test_a_node_that_does_not_balance_fails_its_test(self):
        stats = json.loads(json.dumps(self.stats).replace('"sent": 1', '"sent": 0', 1))
        for answer in ((200, stats, {}), (503, None, {})):
            node = Node()
            node.api = lambda *_, told=answer, **__: told
            with self.assertRaises(AssertionError):
                node.stop()
            self.assertEqual(node.process.poll(), 0)
            node = Node()
            node.api = lambda *_, told=answer, **__: told
            node.audited = False
            node.stop()

    def test_a_node_that_drains_is_not_asked(self):
        with Node() as node:
            node.api = None
            node.signal(signal.SIGTERM)


if __name__ == "__main__":
    unittest.main()
