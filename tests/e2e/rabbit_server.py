"""A rabbitmq-server for the end-to-end tests, on ports and in a folder of its own; publishers by
pika. Ended by its pids, the port mapper of Erlang (epmd) among them."""

import contextlib
import glob
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile

from support import DEADLINE_S, free_port, wait_until

# Debian's, which is Python alone: whatever Python runs this takes it.
sys.path.append("/usr/lib/python3/dist-packages")
try:
    import pika
except ImportError:
    pika = None
finally:
    sys.path.pop()

BIN = "/usr/lib/rabbitmq/bin"
HAVE = pika is not None and os.path.exists(f"{BIN}/rabbitmq-server") and shutil.which("epmd")
START_S = 60  # Erlang takes 3 to 10 s on two CPUs


def children(pid):
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    return []


def openssl(*words, folder):
    subprocess.run(["openssl", *words], cwd=folder, check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def certificates(folder):
    """ca.pem, another CA's other.pem, and for localhost server.pem and till.pem of the one,
    stranger.pem of the other, and expired.pem, all with key.pem."""
    for name in ("ca", "other"):
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem", folder=folder)
    openssl("genrsa", "-out", "key.pem", "2048", folder=folder)
    with open(os.path.join(folder, "names"), "w", encoding="ascii") as file:
        file.write("subjectAltName=DNS:localhost\n")
    for name, subject, ca, days in (("server", "localhost", "ca", "2"), ("till", "till", "ca", "2"),
                                    ("stranger", "till", "other", "2"),
                                    ("expired", "localhost", "ca", "-1")):
        openssl("req", "-new", "-key", "key.pem", "-subj", f"/CN={subject}", "-out", "one.csr",
                folder=folder)
        openssl("x509", "-req", "-in", "one.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key",
                "-CAcreateserial", "-days", days, "-extfile", "names", "-out", f"{name}.pem",
                folder=folder)


class Rabbit:
    """One node of a broker; what it has survives kill and start."""

    def __init__(self, tls=False, start=True):
        self.folder = tempfile.TemporaryDirectory(prefix="ringpost-rabbit-")
        self.port, self.dist_port, self.epmd_port = free_port(), free_port(), free_port()
        self.conf = ""
        if tls:
            certificates(self.folder.name)
            self.tls_port = free_port()
            self.conf = (f"listeners.ssl.1 = 127.0.0.1:{self.tls_port}\n"
                         f"ssl_options.cacertfile = {self.path('ca.pem')}\n"
                         f"ssl_options.certfile = {self.path('server.pem')}\n"
                         f"ssl_options.keyfile = {self.path('key.pem')}\n"
                         "ssl_options.verify = verify_peer\n"
                         "ssl_options.fail_if_no_peer_cert = false\n")
        self.process = self.epmd = None
        self.beam = 0
        if start:
            self.start()

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def environment(self):
        return dict(
            os.environ, HOME=self.folder.name, RABBITMQ_NODENAME=f"t{self.port}@localhost",
            RABBITMQ_MNESIA_BASE=self.path("mnesia"), RABBITMQ_LOG_BASE=self.path("log"),
            RABBITMQ_CONFIG_FILE=self.path("rabbitmq"), RABBITMQ_PID_FILE=self.path("pid"),
            RABBITMQ_ENABLED_PLUGINS_FILE=self.path("plugins"),
            RABBITMQ_DIST_PORT=str(self.dist_port), ERL_EPMD_PORT=str(self.epmd_port),
            ERL_EPMD_ADDRESS="127.0.0.1",
            RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-kernel inet_dist_use_interface {127,0,0,1} "
                                                "+S 1:1 +sbwt none")

    def start(self):
        with open(self.path("rabbitmq.conf"), "w", encoding="utf-8") as file:
            file.write(f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
                       "disk_free_limit.absolute = 50MB\n"
                       "log.file.level = warning\n" + self.conf)
        with open(self.path("plugins"), "w", encoding="utf-8") as file:
            file.write("[].")
        if self.epmd is None:
            self.epmd = subprocess.Popen(
                ["epmd", "-port", str(self.epmd_port), "-address", "127.0.0.1"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with open(self.path("out"), "ab") as out:
            self.process = subprocess.Popen(
                [f"{BIN}/rabbitmq-server"], env=self.environment(), stdin=subprocess.DEVNULL,
                stdout=out, stderr=out, start_new_session=True)
        wait_until("RabbitMQ starts", self.answers, START_S)
        self.beam = self.find_beam()

    def find_beam(self):
        """The process that is the broker: a descendant of the script that starts it."""
        waiting = [self.process.pid]
        while waiting:
            pid = waiting.pop()
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/comm", encoding="ascii") as file:
                    if file.read().startswith("beam"):
                        return pid
            waiting += children(pid)
        raise AssertionError("no beam runs")

    def answers(self):
        assert self.process.poll() is None, self.output()
        with contextlib.suppress(pika.exceptions.AMQPError, OSError):
            self.connect().close()
            return True
        return False

    def output(self):
        text = ""
        for name in [self.path("out"), *glob.glob(self.path("log/*"))]:
            with contextlib.suppress(OSError):
                with open(name, encoding="utf-8", errors="replace") as file:
                    text += file.read()[-4000:]
        return text

    def url(self, user=None, password=None, vhost=None):
        who = f"{user}:{password}@" if user else ""
        return f"amqp://{who}127.0.0.1:{self.port}" + (f"/{vhost}" if vhost else "")

    def connect(self):
        return pika.BlockingConnection(pika.ConnectionParameters(
            "127.0.0.1", self.port, heartbeat=0, blocked_connection_timeout=DEADLINE_S,
            socket_timeout=DEADLINE_S, stack_timeout=DEADLINE_S))

    def control(self, *words):
        """rabbitmqctl: a second or two of a CPU. It listens itself, on a port that another program
        may take just before; and a broker takes connections a little before it takes commands."""
        for _ in range(5):
            port = str(free_port())
            done = subprocess.run(
                [f"{BIN}/rabbitmqctl", "--quiet", *words], timeout=START_S, check=False,
                env={**self.environment(), "RABBITMQ_CTL_DIST_PORT_MIN": port,
                     "RABBITMQ_CTL_DIST_PORT_MAX": port},
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if (b"Distribution failed" not in done.stdout
                    and b"requires the 'rabbit' app to be running" not in done.stdout):
                break
        assert done.returncode == 0, done.stdout.decode()
        return done.stdout.decode()

    def certificate(self, name):
        """It shows that one to whoever comes from now on."""
        shutil.copyfile(self.path(f"{name}.pem"), self.path("shown"))
        os.replace(self.path("shown"), self.path("server.pem"))
        self.control("eval", "ssl:clear_pem_cache().")

    def pause(self):
        os.kill(self.beam, signal.SIGSTOP)

    def resume(self):
        os.kill(self.beam, signal.SIGCONT)

    def kill(self):
        if self.beam:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.beam, signal.SIGCONT)
                os.kill(self.beam, signal.SIGKILL)
        if self.process is not None:
            if not self.beam:
                self.process.kill()
            self.process.wait()
        self.beam = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        if self.epmd is not None:
            self.epmd.kill()
            self.epmd.wait()
        # What Erlang starts beside itself ends with it, and may still write.
        shutil.rmtree(self.folder.name, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.folder.cleanup()


def frames_publish(rabbit, queue, table, body):
    """One message whose headers are these bytes, which no library would write."""
    connection = rabbit.connect()
    try:
        channel = connection.channel()
        header = (struct.pack(">HHQH", 60, 0, len(body), 0x2000)
                  + struct.pack(">I", len(table)) + table)
        name = queue.encode()
        method = (struct.pack(">HHH", 60, 40, 0) + b"\0" + bytes([len(name)]) + name + b"\0")
        number = channel.channel_number
        with socket.socket(fileno=os.dup(connection._impl._transport._sock.fileno())) as sock:
            sock.setblocking(True)
            for kind, payload in ((1, method), (2, header), (3, body)):
                sock.sendall(struct.pack(">BHI", kind, number, len(payload)) + payload + b"\xce")
            sock.setblocking(False)  # as pika has it
        channel.queue_declare(queue, passive=True)  # behind it
    finally:
        connection.close()


class Publisher:
    """A connection and a channel with confirms: what `send` returns from has reached its queue."""

    def __init__(self, rabbit):
        self.connection = rabbit.connect()
        self.channel = self.connection.channel()
        self.channel.confirm_delivery()

    def queue(self, name, **arguments):
        self.channel.queue_declare(name, durable=True, arguments=arguments or None)

    def send(self, queue, body, headers=None, **properties):
        if not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        self.channel.basic_publish("", queue, body, pika.BasicProperties(
            headers=headers, **properties), mandatory=True)

    def length(self, queue):
        """Messages that are ready: not those that are given out."""
        return self.channel.queue_declare(queue, passive=True).method.message_count

    def get(self, queue):
        """The next message of a queue: (properties, body); None: it is empty."""
        method, properties, body = self.channel.basic_get(queue, auto_ack=True)
        return None if method is None else (properties, body)

    def close(self):
        with contextlib.suppress(pika.exceptions.AMQPError):
            self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
