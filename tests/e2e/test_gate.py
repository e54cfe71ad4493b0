"""The way in: rates by client id, shares of the idempotency table, what a refusal leaves behind."""

import time
import unittest

from support import JsonClient, Node, basic, wait_until

SEND = {"type": "send", "to": "nobody"}


class Gate(unittest.TestCase):
    def test_a_client_id_has_one_rate(self):
        with Node("--client-send", "on", "--rate-limit", "10") as node:
            answers = []
            began = time.monotonic()
            for number in range(12):
                source = f"127.0.0.{number + 1}"  # spread over the workers
                with JsonClient(node, "till", source=source) as till:
                    answers += [till.asks(**SEND, ref=ref) for ref in range(10)]
            passed = sum(answer["type"] == "ok" for answer in answers)
            allowed = 10 + 10 * (time.monotonic() - began) + 1
            self.assertGreaterEqual(passed, 10)
            self.assertLessEqual(passed, allowed)
            self.assertTrue(all(answer["code"] == "rate_limited"
                                for answer in answers if answer["type"] == "error"))
            # Sessions without an id have a rate of their own, each.
            for _ in range(3):
                with JsonClient(node) as nobody:
                    self.assertEqual(nobody.asks(**SEND, ref=1)["type"], "ok")

    def test_clients_do_not_push_out_ids_of_producers(self):
        with Node("--client-send", "on", "--dedup-max", "16") as node, \
                JsonClient(node, "till", groups=["g"]) as till:
            for number in range(12):
                node.message(group="g", id=f"p{number}")
            for number in range(100):
                till.asks(type="send", group="nobody", id=f"c{number}", ref=number)
            for number in range(12):
                status, answer, _ = node.api("POST", "/v1/messages",
                                             {"group": "g", "id": f"p{number}"})
                self.assertEqual((status, answer["state"]), (200, "duplicate"))
            self.assertEqual(node.metric("ringpost_dedup_forgotten_total"), 96)

    def test_ids_give_way_when_memory_is_short(self):
        with Node("--memory", "2M", "--dedup-max", "1000000", workers=1) as node:
            for batch in range(40):
                status, answer, _ = node.api("POST", "/v1/messages", [
                    {"group": "g", "id": f"{batch}-{number}"} for number in range(1000)])
                self.assertEqual(status, 200)
                self.assertEqual({entry["status"] for entry in answer}, {202})
            self.assertGreater(node.metric("ringpost_dedup_forgotten_total"), 0)

    def test_a_full_node_says_so(self):
        """`dropped` is for sessions at their own limit; what the node has no memory for is 503."""
        with Node("--memory", "2M", "--outbox-bytes", "100M") as node:
            slow = [JsonClient(node, f"slow-{n}", receive_buffer=4096) for n in range(8)]
            batch = [{"to": f"slow-{n % 8}", "data": "x" * 1000} for n in range(500)]
            statuses = set()
            for _ in range(12):
                status, answer, _ = node.api("POST", "/v1/messages", batch)
                statuses |= {entry["status"] for entry in answer} if status == 200 else {status}
                self.assertNotIn("dropped", str(answer))
            self.assertEqual(statuses, {202, 503})
            self.assertEqual(node.metric("ringpost_messages_total", result="dropped"), 0)
            self.assertGreater(node.metric("ringpost_messages_total", result="overloaded"), 0)
            node.wait_log("event=refusing cause=memory")
            for client in slow:
                client.close()

    def test_wrong_keys_leave_a_trace(self):
        with Node(env={"RINGPOST_API_KEY": "secret"}) as node:
            for _ in range(5):
                self.assertEqual(node.api("POST", "/v1/broadcast", "1",
                                          {"Authorization": "Bearer guess"})[0], 401)
            self.assertEqual(node.api("GET", "/v1/stats")[0], 401)
            key = {"Authorization": basic("secret")}
            self.assertEqual(node.api("GET", "/v1/stats", headers=key)[0], 200)
            text = node.api("GET", "/metrics", headers=key, raw=True)[1].decode()
            self.assertIn('ringpost_auth_failures_total{listener="api"} 5\n', text)
            self.assertIn('{class="unknown",result="unauthorized"} 5\n', text)
            node.wait_log(r"event=auth_failed .*address=127\.0\.0\.1")
            self.assertLessEqual(node.log().count("event=auth_failed"), 3)

    def test_both_ends_of_a_full_node_are_told(self):
        with Node("--max-connections", "4") as node:
            clients = [JsonClient(node, f"c{number}") for number in range(3)]
            for _ in range(3):
                JsonClient(node, hello=False).close()
            extra = [JsonClient(node, hello=False) for _ in range(4)]
            node.wait_log(r"event=refusing cause=connections")
            for client in clients + extra:
                client.close()
            node.wait_log(r"event=refusing_over cause=connections refused=\d+")
            wait_until("no connections", lambda: node.metric("ringpost_connections") <= 1)
            self.assertEqual(node.metric("ringpost_connections_max"), 4)


if __name__ == "__main__":
    unittest.main()
