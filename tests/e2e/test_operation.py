"""Running a node: steering, PROXY headers, limits, slow clients, drain, reload, start errors."""

import collections
import json
import os
import re
import signal
import socket
import tempfile
import threading
import time
import unittest

from support import (DEADLINE_S, EXTRA_FLAGS, SANITIZED, JsonClient, Node, Socket, addresses, run,
                     wait_until)


class Steering(unittest.TestCase):
    def balance(self, node):
        return [worker["connections"] for worker in node.stats()["workers"]]

    def check_by_address(self, *flags):
        with Node("--workers", "4", *flags) as node:
            clients = []
            per_worker = collections.Counter()
            for source in addresses(24):
                before = self.sessions(node)
                clients += [JsonClient(node, None, source=source) for _ in range(4)]
                grown = [after - b for after, b in zip(self.sessions(node), before)]
                # All four of one address are on one worker.
                self.assertEqual(sorted(grown), [0, 0, 0, 4], (source, grown))
                per_worker[grown.index(4)] += 1
            self.assertEqual(len(per_worker), 4)
            for client in clients:
                client.close()

    def sessions(self, node):
        return [worker["sessions"] for worker in node.stats()["workers"]]

    def test_by_address_in_the_kernel(self):
        self.check_by_address()

    def test_by_address_in_user_space(self):
        self.check_by_address("--test-no-cbpf", "on")

    def test_by_address_on_ipv6(self):
        with Node("--workers", "2", "--tcp", "[::1]:0") as node:
            clients = [JsonClient(node, f"c{i}") for i in range(6)]
            self.assertEqual(sorted(self.sessions(node)), [0, 6])
            for client in clients:
                client.close()

    def test_by_tuple_and_by_nothing(self):
        for steer in ("tuple", "none"):
            with self.subTest(steer=steer), Node("--steer", steer, "--workers", "2") as node:
                clients = [JsonClient(node, f"c{i}") for i in range(40)]
                self.assertEqual(sum(self.sessions(node)), 40)
                if steer == "tuple":
                    self.assertGreater(min(self.sessions(node)), 0)
                for i, client in enumerate(clients):
                    self.assertEqual(node.push(f"c{i}", i)[0], 202)
                    self.assertEqual(client.hear()["data"], i)
                    client.close()

    def test_features_of_linux_6_1_suffice(self):
        with Node("--test-kernel-6.1", "on") as node, JsonClient(node, "a") as till:
            self.assertEqual(node.push("a", 1)[0], 202)
            self.assertEqual(till.hear()["data"], 1)

    def test_proxy_protocol(self):
        with Node("--proxy-protocol", "127.0.0.7/32", "--workers", "4") as node:
            clients = []
            for number in range(16):
                client = Socket(node.address("tcp"), source="127.0.0.7")
                client.send(f"PROXY TCP4 192.0.2.{number} 198.51.100.1 {1000 + number} 7000\r\n")
                client.send(json.dumps({"type": "hello", "id": f"c{number}"}) + "\n")
                self.assertEqual(json.loads(client.line())["type"], "welcome")
                clients.append(client)
            # One balancer's connections are spread all the same, and the real address is known.
            self.assertGreater(sum(1 for n in self.sessions(node) if n), 1)
            session = node.api("GET", "/v1/clients/c3")[1]["sessions"][0]
            self.assertEqual(session["address"], "192.0.2.3:1003")
            with Socket(node.address("tcp"), source="127.0.0.7") as bare:
                bare.send('{"type":"hello"}\n')
                self.assertEqual(bare.rest(), b"")
            with JsonClient(node, "direct", source="127.0.0.8") as direct:
                self.assertEqual(direct.asks(type="ping"), {"type": "pong"})
            with Socket(node.address("tcp"), source="127.0.0.8") as liar:
                liar.send("PROXY TCP4 192.0.2.1 198.51.100.1 1 7000\r\n")
                self.assertNotIn(b"WELCOME", liar.rest())
            for client in clients:
                client.close()


class Limits(unittest.TestCase):
    def test_max_connections_leaves_room_for_operators(self):
        with Node("--max-connections", "10") as node:
            tills = [JsonClient(node, f"c{i}") for i in range(10)]
            with Socket(node.address("tcp")) as one_more:
                self.assertEqual(one_more.rest(), b"")
            self.assertEqual(node.metric("ringpost_refused_total", reason="max_connections"), 1)
            tills.pop().close()

            def again():
                with Socket(node.address("tcp")) as client:
                    client.send('{"type":"hello"}\n')
                    return client.line() is not None
            wait_until("a place is free", again)
            for till in tills:
                till.close()

    def test_max_per_address(self):
        with Node("--max-per-address", "3", "--workers", "3", "--steer", "tuple") as node:
            tills = [JsonClient(node, f"c{i}", source="127.0.0.50") for i in range(3)]
            with Socket(node.address("tcp"), source="127.0.0.50") as one_more:
                self.assertEqual(one_more.rest(), b"")
            JsonClient(node, "other", source="127.0.0.51").close()
            tills.pop().close()

            def again():
                with Socket(node.address("tcp"), source="127.0.0.50") as client:
                    client.send('{"type":"hello"}\n')
                    return client.line() is not None
            wait_until("the address may come again", again)
            for till in tills:
                till.close()

    def test_the_memory_ceiling_refuses_and_recovers(self):
        with Node("--memory", "8M", "--outbox-bytes", "100000000", "--max-message", "1000000",
                  "--slow", "close") as node:
            tills = [JsonClient(node, f"s{i}", receive_buffer=4096, source=f"127.0.0.{40 + i}")
                     for i in range(4)]
            statuses = collections.Counter()
            for number in range(60):
                status, answer, headers = node.push(f"s{number % 4}", "x" * 500000)
                statuses[status] += 1
                if status == 503:
                    self.assertEqual(answer["error"]["code"], "overloaded")
                    self.assertGreaterEqual(int(headers["Retry-After"]), 1)
            self.assertGreater(statuses[202], 0)
            self.assertGreater(statuses[503], 0)
            self.assertLess(node.stats()["totals"]["memory_bytes"], 9 * 1024 * 1024)
            for till in tills:
                till.close()
            wait_until("it is given back",
                       lambda: node.stats()["totals"]["memory_bytes"] < 1024 * 1024)
            with JsonClient(node, "new") as till:
                self.assertEqual(node.push("new", "x" * 500000)[0], 202)
                till.hear()

    def test_at_the_ceiling_every_size_is_answered(self):
        """Bodies that come in several pieces, batches and lines of clients hear it, too."""
        with Node("--memory", "8M", "--outbox-bytes", "64M", "--client-send", "on") as node:
            tills = [JsonClient(node, f"s{i}", receive_buffer=4096, source=f"127.0.0.{40 + i}")
                     for i in range(4)]
            number = 0
            while node.push(f"s{number % 4}", "x" * 60000)[0] == 202:
                number += 1
                self.assertLess(number, 2000)
            for size in (3000, 20000, 60000):
                for _ in range(10):
                    status, answer, headers = node.push("s0", "x" * size)
                    if status != 202:
                        self.assertEqual((status, answer["error"]["code"]), (503, "overloaded"))
                        self.assertGreaterEqual(int(headers["Retry-After"]), 1)
            lines = b"\n".join(b'{"to":"s1","data":"%s"}' % (b"x" * 3000) for _ in range(20))
            status = node.api("POST", "/v1/messages", lines,
                              {"Content-Type": "application/x-ndjson"}, raw=True)[0]
            self.assertIn(status, (200, 503))
            with JsonClient(node, "sender", source="127.0.0.60") as sender:
                sender.send(b'{"type":"send","to":"s2","ref":1,"data":"' + b"x" * 60000 + b'"}\n')
                heard = sender.hear()
                self.assertTrue(heard["type"] == "ok" or heard["code"] == "overloaded", heard)
            for till in tills:
                till.close()

    def welcomed(self, node, count):
        """So many clients from many addresses, all welcomed."""
        tills = []
        for i in range(count):
            tills.append(Socket(node.address("tcp"), source=f"127.0.1.{1 + i % 200}"))
            tills[-1].send(json.dumps({"type": "hello", "id": f"c{i}"}) + "\n")
        for till in tills:
            self.assertEqual(json.loads(till.line())["type"], "welcome")
        return tills

    def test_descriptors_run_out(self):
        plain = [] if "--test-kernel-6.1" in EXTRA_FLAGS else ["--test-kernel-6.1", "on"]
        with Node("--max-connections", "1000", *plain, limits={"nofile": 230}) as node:
            tills = []
            for i in range(180):
                tills.append(Socket(node.address("tcp")))
                tills[-1].send(json.dumps({"type": "hello", "id": f"c{i}"}) + "\n")
            # The start has cut the number of connections to what the descriptors allow.
            for till in tills[:20]:
                self.assertEqual(json.loads(till.line())["type"], "welcome")
            self.assertIsNone(tills[150].line())
            self.assertGreater(node.metric("ringpost_refused_total", reason="max_connections"), 0)
            for till in tills:
                till.close()
            wait_until("all are gone", lambda: node.stats()["totals"]["sessions"] == 0)
            with JsonClient(node, "late") as till:
                self.assertEqual(node.push("late", 1)[0], 202)
                self.assertEqual(till.hear()["data"], 1)

    def test_more_clients_than_descriptors(self):
        with Node("--max-connections", "240", workers=3, limits={"nofile": 170}) as node:
            if "file_places=0" in node.log():
                self.skipTest("this kernel has no tables of files to rely on")
            for _ in range(3):
                tills = self.welcomed(node, 240)
                self.assertLess(len(os.listdir(f"/proc/{node.pid}/fd")), 60)
                for i in (0, 7, 99, 239):
                    self.assertEqual(node.push(f"c{i}", i)[0], 202)
                    self.assertEqual(json.loads(tills[i].line())["data"], i)
                # One more than there may be, and then a place that is used again.
                late = Socket(node.address("tcp"))
                self.assertIsNone(late.line())
                late.close()
                # The last reference to a socket is the table's: without it the peer hears the end.
                for i, till in enumerate(tills):
                    till.send("x" * 100000 + "\n" if i % 2 else '{"type":"pong"}\n')
                    if i % 2 == 0:
                        till.close()
                for till in tills[1::2]:
                    while till.line() is not None:
                        pass
                    till.close()
                wait_until("all are gone", lambda: node.stats()["totals"]["sessions"] == 0)
                port = node.address("tcp")[1]

                def kept():
                    with open("/proc/net/tcp", encoding="ascii") as file:
                        return [row for row in file.read().splitlines()[1:]
                                if row.split()[1].endswith(f":{port:04X}")
                                and row.split()[3] in ("01", "04", "05", "08", "09")]
                wait_until("no socket of a client is kept", lambda: not kept())

    def test_who_asks_and_never_reads_is_not_read(self):
        """Its answers pile up to a limit, then its questions wait with itself."""
        with Node() as node:
            flood = Socket(node.address("tcp"), receive_buffer=4096)
            flood.send('{"type":"hello","id":"flood"}\n')
            flood.line()
            flood.socket.settimeout(1)
            asked = 0
            try:
                while asked < 256 * 1024 * 1024:
                    asked += flood.socket.send(b'{"type":"ping"}\n' * 4096)
            except TimeoutError:
                pass
            # What the kernel keeps between the two is not the node's.
            self.assertLess(node.stats()["totals"]["memory_bytes"], 16 * 1024 * 1024, asked)
            self.assertLess(asked, 64 * 1024 * 1024)
            with JsonClient(node, "a") as till:
                self.assertEqual(node.push("a", 1)[0], 202)
                self.assertEqual(till.hear()["data"], 1)
            flood.close()

    def test_too_much_is_refused_and_who_asks_little_is_not(self):
        """More requests than a worker can serve, for a while: a part is answered 503 at once."""
        body = json.dumps({"to": [f"nobody-{i}" for i in range(200)], "data": 1}).encode()
        request = (b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\n"
                   b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                   % (len(body), body))
        answers = re.compile(rb"HTTP/1\.1 (\d\d\d) ")
        enough = threading.Event()

        def flood(counts):
            """Keeps its connection full until it is enough, then waits for every answer."""
            with socket.create_connection(node.address("api")) as pushing:
                pushing.settimeout(DEADLINE_S)
                asked, answered, kept = 0, 0, b""
                while asked != answered or not enough.is_set():
                    if not enough.is_set() and asked - answered < 1000:
                        pushing.sendall(request * 100)
                        asked += 100
                        continue
                    kept += pushing.recv(1024 * 1024)
                    found = list(answers.finditer(kept))
                    for answer in found:
                        counts[answer[1]] += 1
                    answered += len(found)
                    kept = kept[found[-1].end():] if found else kept
                counts["asked"] = asked

        def refused():
            return sum(tally[b"503"] for tally in tallies)

        with Node(workers=1) as node, JsonClient(node, "a") as till:
            tallies = [collections.Counter() for _ in range(16)]
            floods = [threading.Thread(target=flood, args=(tally,), daemon=True)
                      for tally in tallies]
            try:
                for one in floods:
                    one.start()
                node.wait_log("event=behind ")
                wait_until("some are refused", lambda: refused() > 0)
                before = refused()
                for number in range(20):
                    self.assertEqual(node.push("a", number)[0], 202)
                    self.assertEqual(till.hear()["data"], number)
                wait_until("more are refused", lambda: refused() > before)
            finally:
                enough.set()
            for one in floods:
                one.join(2 * DEADLINE_S)
            total = sum(tallies, collections.Counter())
            self.assertGreater(total["asked"], 0)
            self.assertTrue(all(tally["asked"] for tally in tallies), "some were not answered")
            self.assertEqual(total[b"404"] + total[b"503"], total["asked"])
            self.assertEqual(total[b"503"], node.metric("ringpost_behind_refused_total"))
            wait_until("it is over", lambda: node.metric("ringpost_behind") == 0)

    def test_connects_and_resets_cost_the_others_nothing(self):
        count = 500 if SANITIZED else 5000
        with Node() as node, JsonClient(node, "a") as till:
            began = time.monotonic()
            for number in range(count):
                client = Socket(node.address("tcp"), source=f"127.0.1.{1 + number % 200}")
                if number % 3:
                    client.send('{"type":"hello","id":"x"}\n')
                client.reset()
                if number % 100 == 0:
                    self.assertEqual(node.push("a", number)[0], 202)
                    self.assertEqual(till.hear()["data"], number)
            print(f"         {count / (time.monotonic() - began):.0f} connects and resets a second")
            wait_until("all are gone", lambda: node.stats()["totals"]["sessions"] == 1)
            self.assertEqual(node.push("x", 1)[0], 404)

    def test_slow_loris_on_every_listener(self):
        with Node("--hello-timeout", "0.3") as node:
            loris = [Socket(node.address(kind)) for kind in ("tcp", "web", "api")
                     for _ in range(20)]
            for client in loris:
                client.send(b"G")
            with JsonClient(node, "a") as till:
                self.assertEqual(node.push("a", 1)[0], 202)
                self.assertEqual(till.hear()["data"], 1)
            for client in loris[:20]:
                self.assertIn(b"hello_timeout", client.rest())
            for client in loris:
                client.close()


class Drain(unittest.TestCase):
    def test_idle_node_exits_at_once(self):
        with Node() as node:
            began = time.monotonic()
            node.signal(signal.SIGTERM)
            self.assertEqual(node.wait_exit(), 0)
            self.assertLess(time.monotonic() - began, 5)

    def test_goodbye(self):
        with Node() as node:
            tills = [JsonClient(node, f"c{i}", source=s) for i, s in enumerate(addresses(6))]
            node.signal(signal.SIGTERM)
            for till in tills:
                goodbye = till.hear()
                self.assertEqual((goodbye["type"], goodbye["reason"]), ("goodbye", "draining"))
                self.assertGreaterEqual(goodbye["reconnect_ms"], 0)
                self.assertIsNone(till.line())
                till.close()
            self.assertEqual(node.wait_exit(), 0)

    def test_under_load_nothing_accepted_is_lost(self):
        """A producer at full speed when SIGTERM comes: what was answered `queued` arrives."""
        with Node("--workers", "3") as node:
            sources = addresses(12)
            tills = [JsonClient(node, f"c{i}", source=s) for i, s in enumerate(sources)]
            heard = [[] for _ in tills]
            accepted, refused = [[] for _ in tills], [0]
            enough = threading.Event()

            def read(index):
                while True:
                    line = tills[index].line()
                    if line is None:
                        return
                    line = json.loads(line)
                    if line["type"] == "message":
                        heard[index].append(line["data"])

            def produce(base):
                with Socket(node.address("api")) as producer:
                    number = base
                    while True:
                        batch = [{"to": f"c{(number + i) % 12}", "data": number + i}
                                 for i in range(50)]
                        body = json.dumps(batch).encode()
                        try:
                            producer.send(
                                b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\n"
                                b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
                                % len(body) + body)
                            status = producer.line()
                            if status is None:
                                return
                            length = 0
                            while (line := producer.line()) != b"\r":
                                if line.lower().startswith(b"content-length:"):
                                    length = int(line.split(b":")[1])
                            answer = json.loads(producer.exactly(length))
                        except (OSError, AssertionError):
                            return
                        if isinstance(answer, dict):
                            self.assertEqual(answer["error"]["code"], "draining")
                            refused[0] += 1
                            return
                        for entry, sent in zip(answer, batch):
                            if entry["status"] == 202:
                                accepted[int(sent["to"][1:])].append(sent["data"])
                        number += 50
                        if number - base > 2000:
                            enough.set()
            readers = [threading.Thread(target=read, args=(i,)) for i in range(12)]
            producers = [threading.Thread(target=produce, args=(base,))
                         for base in (0, 10**7, 2 * 10**7)]
            for thread in readers + producers:
                thread.start()
            self.assertTrue(enough.wait(60))
            node.signal(signal.SIGTERM)
            for thread in producers + readers:
                thread.join(60)
                self.assertFalse(thread.is_alive())
            for index in range(12):
                self.assertEqual(sorted(set(accepted[index]) - set(heard[index])), [], index)
                self.assertEqual(len(heard[index]), len(set(heard[index])))
            self.assertEqual(node.wait_exit(), 0)

    def test_a_client_that_does_not_read_is_given_up(self):
        with Node("--drain-timeout", "1", "--outbox-bytes", "50000000", "--max-message",
                  "1000000") as node:
            slow = JsonClient(node, "s", receive_buffer=4096)
            for _ in range(20):
                node.push("s", "x" * 900000)
            node.signal(signal.SIGTERM)
            refused = wait_until("pushes are refused",
                                 lambda: node.push("s", 1)[1].get("error"))
            self.assertEqual(refused["code"], "draining")
            self.assertEqual(node.api("GET", "/readyz")[0], 503)
            self.assertEqual(node.wait_exit(), 0)
            slow.close()


class StartAndReload(unittest.TestCase):
    def test_reload(self):
        with Node("--config", "/dev/null") as _:
            pass
        with Node() as first:
            path = os.path.join(first.folder.name, "conf")
            with open(path, "w", encoding="utf-8") as file:
                file.write("api-key = one\nlog-level = info\nworkers = 2\n")
            with Node("--config", path, "--workers", "2") as node:
                key = {"Authorization": "Bearer one"}
                self.assertEqual(node.api("GET", "/v1/stats", headers=key)[0], 200)
                with open(path, "w", encoding="utf-8") as file:
                    file.write("api-key = two\nlog-level = info\nheartbeat = 7\n")
                node.signal(signal.SIGHUP)
                node.wait_log("event=reloaded")
                wait_until("the key changes", lambda: node.api(
                    "GET", "/v1/stats", headers=key)[0] == 401)
                node.wait_log("setting_needs_restart.*heartbeat")
                with open(path, "w", encoding="utf-8") as file:
                    file.write("nonsense = 1\n")
                node.signal(signal.SIGHUP)
                node.wait_log("reload_refused")
                node.key = "two"
                key = {"Authorization": f"Bearer {node.key}"}
                self.assertEqual(node.api("GET", "/v1/stats", headers=key)[0], 200)
                self.assertNotIn("api-key=two", node.log())

    def test_signals_that_mean_something_elsewhere(self):
        with Node() as node, JsonClient(node, "a") as till:
            for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGWINCH, signal.SIGURG,
                           signal.SIGCHLD, signal.SIGCONT, signal.SIGUSR1, signal.SIGUSR2):
                node.signal(number)
            node.wait_log("level=warn event=log_has_no_file remedy=.*standard error")
            node.wait_log("level=warn event=upgrade_not_available")
            self.assertEqual(node.push("a", 1)[0], 202)
            self.assertEqual(till.hear_message()["data"], 1)

    def test_reloads_leave_nothing_behind(self):
        """Neither configurations nor their texts, while the workers work and while they sleep."""
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "conf")

            def keys_write(number):
                with open(path, "w", encoding="utf-8") as file:
                    file.writelines(f"api-key = {number}-{n:0200d}\n" for n in range(20))

            def taken(number):
                node.key = f"{number}-{19:0200d}"
                key = {"Authorization": f"Bearer {node.key}"}
                return node.api("GET", "/v1/stats", headers=key)[0] == 200

            def anonymous_bytes():
                with open(f"/proc/{node.pid}/status", encoding="ascii") as file:
                    return int(re.search(r"RssAnon:\s+(\d+) kB", file.read())[1]) * 1024

            keys_write(0)
            with Node("--config", path) as node:
                for number in range(1, 250 if not SANITIZED else 60):
                    keys_write(number)
                    node.signal(signal.SIGHUP)
                    wait_until("the keys change", lambda n=number: taken(n))
                    if number == 50:
                        before = anonymous_bytes()
                if not SANITIZED:  # which keep what was freed
                    self.assertLess(anonymous_bytes() - before, 700000)

    def test_starts_that_fail_say_why(self):
        with Node() as node:
            taken = node.ports["tcp"][0]
            cases = [
                (["serve", "--tcp", taken, "--web", "off", "--api", "off"], 1, "another program"),
                (["serve", "--api", "0.0.0.0:0"], 1, "RINGPOST_API_KEY"),
                (["serve", "--tcp", "nonsense"], 2, "nonsense"),
                (["serve", "--wrokers", "2"], 2, "workers"),
                (["serve", "--redis", "redis://x"], 1, "redis"),
                (["nonsense"], 2, "nonsense"),
                (["serve", "--config", "/nonexistent"], 1, "/nonexistent"),
            ]
            for command, wanted, word in cases:
                with self.subTest(command=command):
                    status, _, error = run(command)
                    self.assertEqual(status, wanted, error)
                    self.assertIn(word, error)

    def test_listeners_can_be_off_and_repeated(self):
        with Node("--web", "off", "--tcp", "127.0.0.1:0", "--tcp", "127.0.0.2:0") as node:
            self.assertEqual(node.ports["web"], [])
            self.assertEqual(len(node.ports["tcp"]), 2)
            for index in range(2):
                with Socket(node.address("tcp", index)) as client:
                    client.send('{"type":"hello"}\n')
                    self.assertEqual(json.loads(client.line())["type"], "welcome")


if __name__ == "__main__":
    unittest.main()
