"""perf/peers/run: ratios to the better of ringpost's rows, and why a peer is skipped."""

import argparse
import contextlib
import io
import pathlib
import unittest
from unittest import mock

from run import script

peers = script("peers/run")
RATE, COST = peers.WORKS[0], peers.WORKS[1]


def result_of(**figures):
    """Keyword: the rate and the cost of ringpost (`ours...`, over `ws`, or `..._tcp`) or a peer."""
    return {"figures": {name: {RATE.key: [rate], COST.key: [cost]}
                        for name, (rate, cost) in figures.items()},
            "titles": {name: name for name in figures},
            "transports": {name: "tcp" if name.endswith("_tcp") else "ws" for name in figures},
            "ours": [name for name in figures if name.startswith("ours")]}


class Table(unittest.TestCase):
    def test_a_peer_is_compared_with_the_better_of_ours_over_its_transport(self):
        result = result_of(ours1=(100, 4), ours2=(300, 8), ours_tcp=(900, 1), it=(100, 16),
                           it_tcp=(900, 2))
        rows = {row[0]: row[1:] for row in peers.table_of(result, [RATE, COST])}
        self.assertEqual(rows["it"], ("100", "3.00", "16", "0.25"))
        self.assertEqual(rows["it_tcp"], ("900", "1.00", "2", "0.50"))
        self.assertEqual(rows["ours1"], ("100", "", "4", ""))

    def test_what_was_not_measured_has_no_figure_and_no_ratio(self):
        result = result_of(ours1=(100, 4), it=(100, 16))
        del result["figures"]["it"]
        self.assertEqual(peers.table_of(result, [RATE])[2], ("it", "-", ""))
        result = result_of(it=(100, 16))
        self.assertEqual(peers.table_of(result, [RATE])[1], ("it", "100", ""))


class Skipped(unittest.TestCase):
    def test_each_reason_is_said(self):
        def of(transport="ws", needs=()):
            return peers.Peer("it", "it", transport, 0, list(needs))
        self.assertIn("does not speak smoke", peers.why_not(of("smoke"), None))
        self.assertIn("no-such-tool is not installed", peers.why_not(of(needs=["no-such-tool"]),
                                                                     None))
        self.assertIn("/no/such/module.so is not installed",
                      peers.why_not(of(needs=["/no/such/module.so"]), None))
        self.assertEqual(peers.why_not(of(needs=["ws"]), "no registry"),
                         "no package ws: no registry")
        self.assertIsNone(peers.why_not(of(needs=["ws"]), None))

    def test_each_folder_is_a_peer_that_has_what_it_starts(self):
        read = peers.peers_read()
        self.assertEqual([peer.name for peer in read if not peer.workers],
                         ["bun", "nchan", "sio", "sio-bun", "sio-redis", "tcp", "tcp-redis", "ws"])
        for peer in read:
            if not peer.workers:
                self.assertEqual(peer.start[2:4], ["{clients}", "{api}"])
                self.assertTrue(pathlib.Path(peer.start[1].format(
                    peer=peers.HERE / peer.name)).exists())

    def test_one_that_does_not_start_is_skipped_and_the_others_are_measured(self):
        broken, good = (peers.Peer(name, name, "ws", 0, [], ["sh", "-c", "echo no port >&2"])
                        for name in ("broken", "good"))
        measured = []

        def measure_one(peer, _work, _args, _progress):
            if peer is broken:
                return peers.Running(peer)
            measured.append(peer.name)
            return 7, None, 0
        with mock.patch.object(peers, "measure_one", measure_one), \
                contextlib.redirect_stderr(io.StringIO()):
            result = peers.measure_all([broken, good], [RATE, COST], argparse.Namespace(turns=1))
        self.assertEqual(measured, ["good", "good"])
        self.assertEqual(result["skipped"], {"broken": "does not start: no port"})
        self.assertEqual(result["faults"], [])
