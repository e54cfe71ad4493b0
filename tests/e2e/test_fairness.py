"""Producers share a node that is asked for more than it can do."""

import os
import select
import signal
import threading
import unittest

from support import SANITIZED, JsonClient, Node, Socket, wait_until

MEMBERS = 100
GREEDY_CONNECTIONS = 8
BATCH = 1000
PUSHES = 200
ROUNDS_MAX = 1 if SANITIZED else 10
ENOUGH = 0 if SANITIZED else BATCH  # refused in a round
FULL = 200 if SANITIZED else 5 * BATCH  # refused, before the node counts as full


def push(key, path, body):
    return (f"POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}").encode()


def answer_of(connection):
    """The status and the body of the next answer."""
    while b"\r\n\r\n" not in connection.buffer:
        assert connection.fill(), "the node closed the connection"
    head, connection.buffer = connection.buffer.split(b"\r\n\r\n", 1)
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n")
                  if line.lower().startswith(b"content-length:"))
    return int(head.split(b" ")[1]), connection.exactly(length)


class Readers:
    """Clients that read whatever comes, in a process of their own."""

    def __init__(self, clients):
        self.pid = os.fork()
        if self.pid == 0:
            sockets = {client.socket.fileno(): client.socket for client in clients}
            poll = select.epoll()
            for number in sockets:
                poll.register(number, select.EPOLLIN)
            room = bytearray(1 << 18)
            while all(sockets[number].recv_into(room) for number, _ in poll.poll()):
                pass
            os._exit(0)

    def end(self):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


class Greedy(threading.Thread):
    """A producer that pushes the next batches as soon as it is answered, until it is told to
    stop."""

    def __init__(self, node):
        super().__init__()
        self.taken = self.refused = 0
        self.stopping = False
        self.connections = [Socket(node.address("api")) for _ in range(GREEDY_CONNECTIONS)]

    def run(self):
        batch = "[" + ",".join(['{"group":"many"}'] * BATCH) + "]"
        request = push("greedy", "/v1/messages", batch)
        while not self.stopping:
            for connection in self.connections:
                connection.send(request)
            for connection in self.connections:
                status, body = answer_of(connection)
                self.taken += body.count(b'"status":202')
                self.refused += BATCH if status == 503 else body.count(b'"status":503')


class Fairness(unittest.TestCase):
    def rounds(self, node, greedy):
        """What share of their messages was refused to the modest one and to the greedy one, round
        by round. One in which the modest one keeps its place is enough: where the CPU goes to other
        programs, all that the node delivers is late, for which everybody is refused."""
        rounds = []
        with Socket(node.address("api")) as modest:
            while len(rounds) < ROUNDS_MAX and not any(m < g / 2 for m, g in rounds):
                taken, refused, modest_refused = greedy.taken, greedy.refused, 0
                for _ in range(PUSHES):
                    modest.send(push("modest", "/v1/groups/few", "1"))
                    modest_refused += answer_of(modest)[0] == 503
                # Meanwhile it was too much, and the greedy one had its part, too.
                wait_until("the greedy one is refused some and given some",
                           lambda: greedy.refused > refused + ENOUGH and greedy.taken > taken)
                taken, refused = greedy.taken - taken, greedy.refused - refused
                rounds.append((modest_refused / PUSHES, refused / (refused + taken)))
        return rounds

    def test_who_asks_for_little_is_not_refused(self):
        """One producer keeps a worker's room for copies full. The other has a message for a group
        now and then."""
        with Node("--api-key", "greedy", "--api-key", "modest", workers=1) as node:
            members = [JsonClient(node, groups=[group])
                       for group in ("many", "few") for _ in range(MEMBERS)]
            readers = Readers(members)
            greedy = Greedy(node)
            greedy.start()
            try:
                wait_until("the node is full", lambda: greedy.refused > FULL)
                rounds = self.rounds(node, greedy)
            finally:
                greedy.stopping = True
                greedy.join()
                readers.end()
            if not SANITIZED:  # a slow node is so late that it has to refuse this, too
                self.assertTrue(any(modest < share / 2 for modest, share in rounds),
                                f"refused (modest, greedy): {rounds}, not once half as often")
            for connection in greedy.connections + members:
                connection.close()


if __name__ == "__main__":
    unittest.main()
