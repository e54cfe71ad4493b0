"""Where alerts end in the tests: an HTTP server that behaves as told, and a mail server (Debian's
python3-aiosmtpd, which needs no root, no folder and no settings: smtp_server.py)."""

import http.server
import json
import os
import pathlib
import queue
import shutil
import ssl
import subprocess
import sys
import threading

from support import DEADLINE_S

SERVER = str(pathlib.Path(__file__).with_name("smtp_server.py"))


def python_with_smtp():
    """The tests may run in another Python than that of Debian's packages."""
    for python in ("/usr/bin/python3", sys.executable):
        if os.path.exists(python) and subprocess.run(
                [python, "-c", "import aiosmtpd"], stderr=subprocess.DEVNULL,
                check=False).returncode == 0:
            return python
    return None


SMTP_PYTHON = python_with_smtp()
HAVE_OPENSSL = shutil.which("openssl") is not None


class Webhook:
    """`ways`: what the requests in turn get, the last one for all that follow. A way is a status,
    or "hang", "close" (without an answer), "endless" (200 and a body without an end), "head" (a
    head without an end), "cut" (200 and less than was announced)."""

    def __init__(self, *ways, certificate=None):
        self.ways = list(ways) or [200]
        self.secret = None  # a refusal tells it
        self.posted = queue.Queue()  # (path, head, body)
        self.ended = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                outer.serve(self)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *_):
                pass  # the other side left

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def url(self, host="127.0.0.1", path="/hook/secret"):
        return f"http://{host}:{self.port}{path}"

    def serve(self, request):
        body = request.rfile.read(int(request.headers["Content-Length"]))
        way = self.ways.pop(0) if len(self.ways) > 1 else self.ways[0]
        self.posted.put((request.path, request.headers, body))
        request.close_connection = True
        if way == "hang":
            self.ended.wait(DEADLINE_S)
        elif way == "head":
            request.send_response(200)
            request.flush_headers()
            while not self.ended.is_set():
                request.wfile.write(b"X-More: " + b"x" * 4000 + b"\r\n")
        elif way != "close":
            request.send_response(200 if way in ("endless", "cut") else way)
            request.send_header("Location", "/elsewhere")
            if way == "cut":
                request.send_header("Content-Length", "1000")
            request.end_headers()
            said = f"nobody knows {request.path}" if way == 404 else "said by\x1b[31m the receiver"
            if self.secret:
                said = f"no such token {self.secret}"
            request.wfile.write(said.encode())
            while way == "endless" and not self.ended.is_set():
                request.wfile.write(b"x" * 4000)

    def next(self):
        """The next alert, as an object."""
        path, head, body = self.posted.get(timeout=DEADLINE_S)
        assert head["Content-Type"] == "application/json", head
        assert path == "/hook/secret", path
        return json.loads(body)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.server.shutdown()
        self.server.server_close()


class MailServer:
    """smtp_server.py, which says what it does."""

    def __init__(self, user="-", password="-", certificate=("-", "-"), host="127.0.0.1"):
        self.process = subprocess.Popen(
            [SMTP_PYTHON, SERVER, host, *certificate, user, password], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True)
        self.taken, self.logins, self.port_ = queue.Queue(), queue.Queue(), queue.Queue()
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()
        self.port = self.port_.get(timeout=DEADLINE_S)

    def read(self):
        for line in self.process.stdout:
            said = json.loads(line)
            queue_ = (self.port_ if "port" in said else
                      self.logins if "user" in said else self.taken)
            queue_.put(said.get("port", said))

    def url(self, user=None, password=None, host="127.0.0.1"):
        who = f"{user}:{password}@" if user else ""
        return f"smtp://{who}{host}:{self.port}"

    def next(self):
        return self.taken.get(timeout=DEADLINE_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(DEADLINE_S)
        self.thread.join(DEADLINE_S)
        self.process.stdout.close()


def self_signed(folder):
    """A certificate that nobody trusts, and its key."""
    certificate, key = f"{folder}/cert.pem", f"{folder}/key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=mail.example", "-days",
                    "1", "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key
