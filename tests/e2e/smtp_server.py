"""A mail server on a free port, over Debian's python3-aiosmtpd: a program of its own, since the
tests may run in a Python that has no packages of Debian's. Ends with its standard input.

    python3 smtp_server.py HOST CERTIFICATE KEY USER PASSWORD    ("-" for what there is not)

Writes a JSON object a line: {"port": ...}, then {"from", "to", "text", "tls"} of each mail and
{"user", "password"} of each login. Addresses that begin with "no-" are refused. What is mailed
from "hang@..." is taken or refused as well, but nothing is said to QUIT then."""

import asyncio
import json
import logging
import os
import ssl
import sys
import threading
import warnings

from aiosmtpd.smtp import SMTP, AuthResult


def tell(**fields):
    print(json.dumps(fields), flush=True)


class Handler:
    async def handle_MAIL(self, _server, session, envelope, address, _options):
        session.hangs = address.startswith("hang@")
        envelope.mail_from = address
        return "250 2.1.0 good"

    async def handle_RCPT(self, _server, _session, envelope, address, _options):
        if address.startswith("no-"):
            return "550 5.1.1 nobody of that name"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 good"

    async def handle_DATA(self, _server, session, envelope):
        tell(**{"from": envelope.mail_from}, to=envelope.rcpt_tos, text=envelope.content.decode(),
             tls=session.ssl is not None)
        return "250 2.0.0 taken"

    async def handle_QUIT(self, _server, session, _envelope):
        if getattr(session, "hangs", False):
            await asyncio.sleep(3600)
        return "221 bye"


async def main(host, certificate, key, user, password):
    context = None
    more = {}
    if certificate != "-":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
    if user != "-":
        def authenticate(_server, _session, _envelope, _mechanism, data):
            login = data.login.decode(), data.password.decode()
            tell(user=login[0], password=login[1])
            if login == (user, password):
                return AuthResult(success=True)
            return AuthResult(success=False, handled=False,
                              message=f"535 5.7.8 no such password: {login[1]}")
        more = {"authenticator": authenticate, "auth_required": True, "auth_require_tls": False}
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(Handler(), hostname="mail.example", tls_context=context, **more), host, 0)
    tell(port=server.sockets[0].getsockname()[1])
    await server.serve_forever()


def end():
    sys.stdin.read()
    os._exit(0)  # what hangs does not keep it


if __name__ == "__main__":
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    # It warns of passwords without TLS, which is what is tested.
    warnings.simplefilter("ignore")
    logging.getLogger("mail.log").setLevel(logging.ERROR)
    threading.Thread(target=end, daemon=True).start()
    asyncio.run(main(*sys.argv[1:]))
