"""A producer, with the standard library: python3 producer.py CLIENT EVENT JSON [ack]

With `ack` it waits until the client has acknowledged. Says what has become of the message; ends
with 0 if it was taken, 1 if nobody is there, 2 if it was refused, 3 if no answer came."""

import http.client
import json
import os
import random
import sys
import time
import urllib.error
import urllib.request
import uuid

API = os.environ.get("RINGPOST_API", "http://127.0.0.1:8081")
KEY = os.environ.get("RINGPOST_API_KEY")
GIVE_UP_S = 60


def post(path, body):
    """One try: (status, seconds to wait, JSON)."""
    headers = {"Content-Type": "application/json"}
    if KEY:
        headers["Authorization"] = "Bearer " + KEY
    request = urllib.request.Request(API + path, body, headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, None, json.load(answer)
    except urllib.error.HTTPError as answer:  # 4xx and 5xx; 404 may be an ordinary result
        with answer:
            return answer.code, answer.headers.get("Retry-After"), json.load(answer)


def push(wait, **message):
    # One id for all tries: if the node has taken an earlier one, nobody gets the message twice.
    body = json.dumps({"id": str(uuid.uuid4()), **message}).encode()
    until = time.monotonic() + GIVE_UP_S
    for tries in range(1000):
        pause_s = min(10, 0.5 * 2 ** tries) * random.uniform(0.5, 1)
        try:
            status, retry_after, result = post("/v1/messages" + ("?wait=ack" if wait else ""), body)
            if result.get("state") == "duplicate":  # what the first try had come to
                return {**result, "state": result.get("now", result["first"]["state"])}
            if "state" in result or status not in (408, 429, 503):
                return result
            pause_s = float(retry_after or pause_s)
        except (OSError, http.client.HTTPException, ValueError):
            pass  # no answer: the node may have taken it or not, so the same again
        if time.monotonic() + pause_s > until:
            break
        time.sleep(pause_s)
    return {"state": "unknown"}


def main(client_id, event, data, ack=""):
    result = push(ack == "ack", to=client_id, event=event, data=json.loads(data), ack=ack == "ack")
    if "error" in result:
        print(f"{result['error']['code']}: {result['error']['message']}")
        return 2
    print(result["state"])
    return {"absent": 1, "unknown": 3}.get(result["state"], 0)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
