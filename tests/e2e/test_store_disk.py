"""A store's disk, directory and files are not as they should be: it is said in one sentence, and
what was answered before is not lost by it."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

from stored import (HEADER_BYTES, ONCE, ONCE_WHY, STRACE, Data, Stored, degraded, disk_that, fates,
                    store_command)
from support import JsonClient, wait_until
from test_ack import fate, hear, ids, pending, push, push_many

BIG = 60000
MESSAGES = 290  # of BIG: a little more than one segment


def mounts():
    """May file systems be mounted here?"""
    if os.getuid() != 0 or shutil.which("mount") is None:
        return False
    with Data() as data:
        data.path.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", data.path],
                              stderr=subprocess.DEVNULL, check=False)
        if done.returncode == 0:
            subprocess.run(["umount", data.path], check=True)
        return done.returncode == 0


@contextlib.contextmanager
def mounted(data, *options):
    subprocess.run(["mount", *options, str(data.path)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", data.path], check=True)


@unittest.skipIf(STRACE is None, "apt-get install strace")
@unittest.skipIf(ONCE, ONCE_WHY)
class Failing(Stored):
    def failing(self, call):
        # strace injects an error by making a call of no number, which the sandbox would refuse.
        with Data("--sandbox", "off") as data:
            node = data.node()
            with JsonClient(node, "till-7") as till:
                push(node, "till-7", id="before")
                self.assertEqual(till.hear_message()["id"], "before")
                self.spares(node)
                with disk_that(node, "error=EIO", call):
                    answer = node.message(to="till-7", ack=True, id="m1", data=1)
                    self.refused_by_store(answer)
                    wait_until("it is told", lambda: degraded(node) == ["store"])
                    self.assertEqual(node.api("GET", "/readyz")[0], 200)
                    self.assertEqual(node.metric("ringpost_store_unavailable"), 1)
                    self.assertGreater(node.metric("ringpost_store_failures_total"), 0)
                    node.wait_log("event=store_failed .*Input/output error.*remedy=")
                    self.refused_by_store(node.api("POST", "/v1/messages",
                                                   [{"to": "till-7", "ack": True}] * 3))
                    self.assertEqual(fates(node, ["m1"]), {"m1": None})
                    # Other classes go on; what is acknowledged waits for the disk.
                    self.assertEqual(node.push("till-7", "default")[0], 202)
                    self.assertEqual(till.hear_message()["data"], "default")
                    till.say(type="ack", id="before")
                    self.assertEqual(till.asks(type="ping"), {"type": "pong"})
                    self.assertEqual(fate(node, "before")["state"], "pending")
                self.told(node, ["before"])
                wait_until("it has recovered", lambda: not degraded(node))
                node.wait_log("event=store_recovered")
                self.assertEqual(push(node, "till-7", 2, id="m1")["state"], "queued")
                message = till.hear_message()
                self.assertEqual((message["id"], message["data"]), ("m1", 2))
                self.assertNotIn("redelivered", message)
            node.kill()
            node = data.node()
            with JsonClient(node, "till-7") as till:
                message = till.hear_message()
                self.assertEqual((message["id"], message["data"]), ("m1", 2))
                till.say(type="ack", id="m1")
                self.assertTrue(till.silent(0.05))
            self.settled(node)
            node.stop()
            self.assertEqual(store_command("check", data.path)[0], 0)

    def test_sync(self):
        self.failing("fdatasync")

    def test_write(self):
        self.failing("pwrite64")

    def test_a_failure_that_passes(self):
        """What was written and not synced is written anew."""
        with Data("--sandbox", "off") as data:
            node = data.node()
            push(node, "away", id="m0")
            self.spares(node)
            with JsonClient(node, "till-7") as till:
                push(node, "till-7", id="m1")
                till.hear_message()
                with disk_that(node, "error=EIO:when=1..2"):
                    till.say(type="ack", id="m1")
                    self.told(node, ["m1"])
                    node.wait_log("event=store_recovered")
                push(node, "away", id="m2")
            node.kill()
            with data.node() as node:
                known = fates(node, ["m0", "m1", "m2"])
                self.assertEqual([known[name]["state"] for name in known],
                                 ["pending", "acked", "pending"])

    def test_a_drain(self):
        """The log says how much the disk did not take."""
        with Data() as data:
            node = data.node()
            with JsonClient(node, "till-7") as till:
                push_many(node, [{"to": "till-7", "id": f"m{i}"} for i in range(3)])
                hear(till, 3)
                self.spares(node)
                with disk_that(node, "error=EIO", "pwrite64"):
                    self.refused_by_store(node.message(to="away", ack=True))
                    till.say(type="ack", ids=["m0", "m1"])
                    till.asks(type="ping")
                    node.signal(signal.SIGTERM)
                    self.assertEqual(node.wait_exit(), 0)
            lines = [line for line in node.log().splitlines() if "event=store_unwritten" in line]
            self.assertEqual(len(lines), 1)
            self.assertIn(" settled=2 refused=1 ", lines[0])
            self.assertIn("remedy=", lines[0])
            node = data.node()
            with JsonClient(node, "till-7") as till:
                self.assertEqual(ids(hear(till, 3)), ["m0", "m1", "m2"])
                till.say(type="ack", ids=["m0", "m1", "m2"])
                self.settled(node)
            node.signal(signal.SIGTERM)
            self.assertEqual(node.wait_exit(), 0)
            self.assertNotIn("event=store_unwritten", node.log())

    def test_a_disk_that_does_not_answer(self):
        """Within 10 s the producer knows, and what comes too late is taken back. Others know at
        once."""
        with Data("--sandbox", "off") as data, ThreadPoolExecutor() as others:
            node = data.node()
            with JsonClient(node, "till-7") as till:
                with disk_that(node, "delay_exit=12000000:when=1"):
                    began = time.monotonic()
                    first = others.submit(node.message, to="till-7", ack=True, id="m1")
                    wait_until("it is told", lambda: degraded(node) == ["store"])
                    self.assertGreater(time.monotonic() - began, 2)
                    self.assertEqual(node.metric("ringpost_store_unavailable"), 1)
                    self.refused_by_store(node.message(to="till-7", ack=True, id="m0"))
                    self.assertLess(time.monotonic() - began, 8)
                    self.refused_by_store(first.result())
                    self.assertLess(abs(time.monotonic() - began - 10), 1.5)
                    wait_until("it is back", lambda: node.message(to="away", ack=True,
                                                                  id="m2")[0] == 202)
                self.assertTrue(till.silent(0.05))
            wait_until("it is taken back",
                       lambda: node.metric("ringpost_store_records_total") >= 3)
            node.kill()
            with data.node() as node:
                self.assertEqual(fates(node, ["m1"]), {"m1": None})
                self.assertEqual(fate(node, "m2")["state"], "pending")
                self.assertEqual(push(node, "till-7", id="m1")["state"], "stored")


@unittest.skipIf(ONCE, ONCE_WHY)
@unittest.skipUnless(mounts(), "only who may mount can make a full disk")
class Full(Stored):
    def fill(self, node):
        """Pushes until the store has no room; the ids of what it took."""
        took = []
        while True:
            name = f"m{len(took)}"
            answer = node.message(to=f"till-{len(took) % 7}", ack=True, id=name, data="x" * BIG)
            if answer[0] != 202:
                self.refused_by_store(answer)
                wait_until("it is told", lambda: degraded(node) == ["store"])
                return took
            took.append(name)

    def acknowledge(self, node, names):
        """As their clients do."""
        for number in range(7):
            mine = [name for name in names if int(name[1:]) % 7 == number]
            with JsonClient(node, f"till-{number}") as till:
                for name in mine:
                    self.assertEqual(till.hear_message()["id"], name)
                    till.say(type="ack", id=name)
                self.told(node, mine)

    def test_acknowledgements_make_room(self):
        with Data() as data:
            data.path.mkdir()
            with mounted(data, "-t", "tmpfs", "-o", "size=60m", "tmpfs"):
                node = data.node()
                took = self.fill(node)
                self.assertGreater(len(took), 200)
                node.wait_log("event=store_no_spare .*No space left on device.*remedy=")
                self.acknowledge(node, took[:100])
                node.kill()
                node = data.node()
                known = fates(node, took)
                self.assertEqual([known[name]["state"] for name in took],
                                 ["acked"] * 100 + ["pending"] * (len(took) - 100))
                self.acknowledge(node, took[100:])
                wait_until("there is room", lambda: not degraded(node))
                push(node, "away", "x" * BIG, id="late")
                node.kill()
                with data.node() as node:
                    self.assertEqual({one["state"] for one in fates(node, took).values()},
                                     {"acked"})
                    self.assertEqual(fate(node, "late")["state"], "pending")

    def test_the_end_of_several_addresses_has_room(self):
        """A message with several takes more than its own record until it has ended."""
        with Data() as data:
            data.path.mkdir()
            with mounted(data, "-t", "tmpfs", "-o", "size=60m", "tmpfs"):
                node = data.node("--fsync", "never")
                refused, number = 0, 0
                while refused == 0:
                    status, results, _ = node.api("POST", "/v1/messages", [
                        {"to": ["a", "b", "c"], "ack": True, "ttl": 3, "id": f"m{number + i}"}
                        for i in range(1000)])
                    if status == 200:  # else too much came at once
                        refused = sum(result["status"] == 503 for result in results)
                        number += 1000
                wait_until("all have expired", lambda: pending(node) == 0)
                wait_until("all is written", lambda: node.metric("ringpost_store_waiting") == 0)
                wait_until("there is room", lambda: node.message(to="a", ack=True)[0] == 202)
                node.stop()
                with data.node() as node:
                    self.assertEqual(pending(node), 1)

    def test_room_comes(self):
        with Data() as data:
            data.path.mkdir()
            with mounted(data, "-t", "tmpfs", "-o", "size=60m", "tmpfs"):
                node = data.node()
                took = self.fill(node)
                subprocess.run(["mount", "-o", "remount,size=100m", data.path], check=True)
                wait_until("there is room", lambda: not degraded(node))
                node.wait_log("event=store_has_room_again")
                push(node, "away", "x" * BIG, id="late")
                self.acknowledge(node, took)
                node.stop()
                with data.node() as node:
                    self.assertEqual(fate(node, "late")["state"], "pending")

    def test_too_small_to_begin(self):
        with Data() as data:
            data.path.mkdir()
            with mounted(data, "-t", "tmpfs", "-o", "size=10m", "tmpfs"):
                self.assertRegex(data.refused(), "cannot make a segment: No space left on device; "
                                 "make room on its file system")

    def test_read_only(self):
        with Data() as data:
            node = data.node()
            push(node, "till-7", id="m1")
            node.stop()
            with mounted(data, "--bind", str(data.path)):
                subprocess.run(["mount", "-o", "remount,bind,ro", data.path], check=True)
                self.assertRegex(data.refused(), "cannot open store.lock: Read-only file system; "
                                 ".*mount it so that it can be written")
                status, said = store_command("check", data.path)
                self.assertEqual(status, 0, said)
            with mounted(data, "-t", "tmpfs", "-o", "ro", "tmpfs"):
                self.assertRegex(data.refused(), "cannot open store.lock: Read-only file system; "
                                 ".*mount it so that it can be written")
            with data.node() as node:
                self.assertEqual(fate(node, "m1")["state"], "pending")


@unittest.skipIf(ONCE, ONCE_WHY)
class Directory(Stored):
    def test_what_is_no_directory(self):
        with Data() as data:
            data.path.write_text("")
            self.assertRegex(data.refused(), "--data .*cannot be opened .Not a directory.")
            self.assertEqual(store_command("check", data.path)[0], 2)
            data.path = data.path.parent / "missing" / "data"
            self.assertRegex(data.refused(), "No such file or directory.*make the directory")
            for verb in ("check", "repair"):
                status, said = store_command(verb, data.path)
                self.assertEqual(status, 2)
                self.assertIn("there is no directory", said)
                status, said = store_command(verb, data.path.parent.parent)
                self.assertEqual(status, 2)
                self.assertIn("holds no store", said)

    def test_settings_that_do_not_go_together(self):
        with Data() as data:
            self.assertIn("leave one of the two out", data.refused("--store", "memory"))
            self.assertFalse(data.path.exists())

    def test_another_process_has_it(self):
        with Data() as data, data.node() as node:
            push(node, "till-7", id="m1")
            self.assertIn(f"is in use by process {node.pid}; stop that one first",
                          data.refused())
            for verb in ("check", "repair"):
                status, said = store_command(verb, data.path)
                self.assertEqual(status, 2)
                self.assertIn(f"is in use by process {node.pid}", said)
            self.assertEqual(push(node, "till-7", id="m2")["state"], "stored")

    def test_first_starts_at_once(self):
        """One of them has it, and its key is the one that stays."""
        for _ in range(5):
            with Data() as data:
                def one_is_left():
                    return sum(node.process.poll() is None for node in nodes) == 1
                nodes = [data.node(wait=False) for _ in range(3)]
                wait_until("the others are refused", one_is_left)
                node = next(node for node in nodes if node.process.poll() is None)
                node.wait_started()
                push(node, "away", 1, id="m1")
                node.kill()
                with data.node() as node:
                    self.assertEqual(node.message(to="away", ack=True, data=1, id="m1")[1]["state"],
                                     "duplicate")

    def test_it_is_put_elsewhere_and_back(self):
        """What has the directory open goes on in it, but begins no file there."""
        with Data() as data:
            node = data.node()
            elsewhere = data.path.parent / "elsewhere"
            data.path.rename(elsewhere)
            data.path.mkdir()
            took = []
            while (answer := node.message(to=f"till-{len(took) % 7}", ack=True, data="x" * BIG,
                                          id=f"m{len(took)}"))[0] == 202:
                took.append(f"m{len(took)}")
            self.refused_by_store(answer)
            node.wait_log("event=store_.* error=.it was removed or put elsewhere while it was in "
                          "use.*remedy=.put the directory back")
            self.assertEqual(list(data.path.iterdir()), [])
            data.path.rmdir()
            elsewhere.rename(data.path)
            wait_until("it is back", lambda: not degraded(node))
            push(node, "till-7", id="late")
            node.kill()
            with data.node() as node:
                self.assertEqual({one["state"] for one in fates(node, [*took, "late"]).values()},
                                 {"pending"})

    def test_it_is_removed(self):
        with Data() as data:
            node = data.node()
            with JsonClient(node, "till-7") as till:
                push(node, "till-7", id="m1")
                till.hear_message()
                self.spares(node)
                shutil.rmtree(data.path)
                self.refused_by_store(node.message(to="till-7", ack=True, id="m2"))
                till.say(type="ack", id="m1")
                self.assertEqual(till.asks(type="ping"), {"type": "pong"})
                self.assertEqual(fate(node, "m1")["state"], "pending")
            node.stop()
            self.assertFalse(data.path.exists())
            with data.node() as node:
                self.assertEqual(fates(node, ["m1"]), {"m1": None})


@unittest.skipIf(ONCE, ONCE_WHY)
class Damage(Stored):
    """What a start, a check and a repair make of a directory that somebody has changed."""

    @classmethod
    def setUpClass(cls):
        cls.whole = Data()
        node = cls.whole.node()
        for i in range(MESSAGES):
            push(node, f"till-{i % 9}", "x" * BIG, id=f"message-{i:03}")
        node.kill()
        for spare in [*cls.whole.path.glob("*.spare"), *cls.whole.path.glob("*.new")]:
            spare.unlink()
        assert len(cls.whole.segments()) == 2

    @classmethod
    def tearDownClass(cls):
        cls.whole.close()

    @contextlib.contextmanager
    def copy(self):
        with Data() as data:
            shutil.copytree(self.whole.path, data.path)
            yield data, *data.segments()

    def damaged(self, data, sentence, kept, lost, copies):
        """It is refused, and saved."""
        self.assertRegex(data.refused(), sentence)
        before = {path: path.stat().st_mtime_ns for path in data.segments()}
        status, said = store_command("check", data.path)
        self.assertEqual(status, 1, said)
        self.assertRegex(said, f"DAMAGED: .*{sentence}")
        self.assertRegex(said.splitlines()[-1], "^damaged: [0-9]+ records can be read$")
        self.assertEqual({path: path.stat().st_mtime_ns for path in data.segments()}, before)
        status, said = store_command("repair", data.path)
        self.assertEqual(status, 0, said)
        self.assertEqual(said.splitlines()[-1],
                         f"repaired: {kept} records are kept, at least {lost} are lost")
        self.assertEqual(len(list(data.path.glob("*.damaged"))), copies)
        status, said = store_command("check", data.path)
        self.assertEqual((status, said.splitlines()[-1]),
                         (0, f"sound: {kept} records can be read"))
        node = data.node()
        known = fates(node, [f"message-{i:03}" for i in range(MESSAGES)])
        node.kill()
        pending = [name for name, one in known.items() if one and one["state"] == "pending"]
        self.assertEqual(len(pending), kept)
        return [name for name in known if name not in pending]

    @staticmethod
    def at(path, what):
        return path.read_bytes().index(what)

    def test_nothing(self):
        with self.copy() as (data, *_):
            for verb, word in (("check", f"sound: {MESSAGES} records can be read"),
                               ("repair", "sound: there is nothing to repair")):
                status, said = store_command(verb, data.path)
                self.assertEqual((status, said.splitlines()[-1]), (0, word))
                self.assertIn(f"records 1 to {MESSAGES - 11}, {MESSAGES - 11} of kind 1", said)

    def test_a_bit_of_a_record(self):
        with self.copy() as (data, first, _):
            data.flip(first, self.at(first, b"message-005") + 2000)
            lost = self.damaged(data, "is damaged at byte [0-9]+: record 6 is missing there, "
                                "although all up to [0-9]+ had been synced", MESSAGES - 1, 1, 1)
            self.assertEqual(lost, ["message-005"])

    def test_a_sector_of_zeros(self):
        with self.copy() as (data, first, _):
            with open(first, "r+b") as file:
                file.seek(HEADER_BYTES + 10 * BIG)
                file.write(bytes(2 * BIG))
            lost = self.damaged(data, "is damaged at byte", MESSAGES - 3, 3, 1)
            self.assertEqual(lost, ["message-009", "message-010", "message-011"])

    def test_a_header(self):
        with self.copy() as (data, _, second):
            data.flip(second, 30)
            self.assertEqual(self.damaged(data, "is damaged at byte 0: it has no valid header",
                                          MESSAGES, 0, 1), [])

    def test_store_meta(self):
        with self.copy() as (data, *_):
            for slot in (0, HEADER_BYTES):
                data.flip(data.path / "store.meta", slot + 20)
            self.damaged(data, "store.meta is damaged", MESSAGES, 0, 0)
        with self.copy() as (data, *_):
            (data.path / "store.meta").unlink()
            self.damaged(data, "holds segments, but no store.meta", MESSAGES, 0, 0)

    def test_a_file_that_was_cut(self):
        with self.copy() as (data, first, _):
            os.truncate(first, HEADER_BYTES + 100 * BIG)
            lost = self.damaged(data, "the file has that length, and was made with [0-9]+",
                                MESSAGES - 180, 180, 1)
            self.assertEqual(lost, [f"message-{i:03}" for i in range(99, MESSAGES - 11)])

    def test_a_file_that_is_missing(self):
        with self.copy() as (data, first, _):
            first.unlink()
            self.damaged(data, "is missing: records are lost", 11, 0, 0)

    def test_files_of_each_others_names(self):
        with self.copy() as (data, first, second):
            spare = data.path / "aside"
            first.rename(spare)
            second.rename(first)
            spare.rename(second)
            self.damaged(data, "is segment [0-9a-f]+ by its header: give it back its name",
                         MESSAGES, 0, 2)

    def test_a_file_that_is_there_twice(self):
        with self.copy() as (data, first, _):
            shutil.copy(first, data.path / f"{0x77:016x}.segment")
            self.damaged(data, "is segment [0-9a-f]+ by its header: give it back its name",
                         MESSAGES, 0, 1)

    def test_a_file_of_another_store(self):
        with self.copy() as (data, first, _), Data() as other:
            node = other.node()
            push(node, "till-7", id="foreign")
            node.kill()
            shutil.copy(other.segments()[0], first)
            self.damaged(data, "belongs to another node's store: put it back there", 11, 0, 1)

    def test_the_end(self):
        """The record that was written last cannot be told from one whose write was cut off."""
        with self.copy() as (data, _, second):
            data.flip(second, self.at(second, b"message-289"))
            status, said = store_command("check", data.path)
            self.assertEqual(status, 0, said)
            self.assertRegex(said, "torn at byte [0-9]+, [0-9]+ bytes with 1 records or more")
            node = data.node()
            self.assertEqual(len(re.findall("event=store_cut .*records=1 ", node.log())), 1)
            known = fates(node, ["message-288", "message-289"])
            self.assertEqual([one and one["state"] for one in known.values()], ["pending", None])
            self.assertEqual(node.metric("ringpost_store_cut_records"), 1)
            self.assertGreater(node.metric("ringpost_store_cut_bytes"), 0)
            node.stop()
            # After a drain it is known what stood there.
            second = data.segments()[-1]
            data.flip(second, self.at(second, b"message-288"))
            self.assertRegex(data.refused(), "record 289 is missing there, although all up to 289")

    def test_a_number_that_is_never_reached(self):
        for name in ("ffffffffffffffff.new", "ffffffffffffffff.spare", "ffffffffffffffff.segment",
                     "8000000000000000.segment", "7fffffffffffffff.new", "7fffffffffffffff.spare"):
            with self.subTest(name=name), self.copy() as (data, *_):
                (data.path / name).touch()
                status, said = store_command("check", data.path)
                self.assertEqual(status, 0, said)
                self.assertIn(f"{name}: left alone", said)
                for number in range(2):
                    with data.node() as node:
                        self.assertEqual(node.log().count("event=store_file_strange"), 1)
                        self.assertEqual(fate(node, "message-289")["state"], "pending")
                        push(node, "a", 1, id=f"new-{number}")
                        self.assertTrue(number == 0 or fate(node, "new-0"))
                self.assertNotIn("0000000000000000.segment", [x.name for x in data.segments()])

    def test_another_version(self):
        for name in ("segment", "store.meta"):
            with self.subTest(name=name), self.copy() as (data, first, _):
                if name == "segment":
                    data.flip(first, 8, 3)
                else:
                    for slot in (0, HEADER_BYTES):
                        data.flip(data.path / name, slot + 8, 3)
                sentence = f"{name} has version 2 of the store's format, and this ringpost reads"
                self.assertIn(sentence, data.refused())
                for verb in ("check", "repair"):
                    status, said = store_command(verb, data.path)
                    self.assertEqual(status, 2, said)
                    self.assertIn(sentence, said)

    def test_its_key(self):
        with self.copy() as (data, *_):
            (data.path / "store.key").write_bytes(b"short")
            self.assertIn("store.key is damaged: remove it", data.refused())
            key, names = data.path / "store.key", ("directory", "fifo", "link", "empty", "none")
            for name in names:
                key.unlink()
                if name == "directory":
                    key.mkdir()
                elif name == "fifo":
                    os.mkfifo(key)
                elif name == "link":
                    key.symlink_to(data.path / "store.meta")
                elif name == "empty":
                    key.touch()
                status, said = store_command("check", data.path)
                if name == "none":
                    self.assertEqual(status, 0, said)
                    self.assertIn("store.key is missing", said)
                    break
                self.assertEqual(status, 1, said)
                self.assertIn("DAMAGED: store.key", said)
                self.assertIn("key", data.refused())
                if name == "directory":
                    key.rmdir()
                    key.touch()
            with data.node() as node:
                self.assertEqual(node.log().count("event=store_key_lost"), 1)
                self.assertEqual(fate(node, "message-001")["state"], "pending")
                status, answer, _ = node.message(to="till-1", ack=True, data="x" * BIG,
                                                 id="message-001")
                self.assertEqual((status, answer["error"]["code"]), (409, "id_reused"))
                self.assertEqual(push(node, "a", 1, id="new")["state"], "stored")
                self.assertEqual(node.message(to="a", ack=True, data=1, id="new")[1]["state"],
                                 "duplicate")


if __name__ == "__main__":
    unittest.main()
