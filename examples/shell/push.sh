#!/bin/sh
# A producer with curl: push.sh CLIENT EVENT JSON [ack]
# With `ack` it waits until the client has acknowledged. Prints the node's answer; ends with 0 if
# the message was taken, 1 if nobody is there, 2 if it was refused, 3 if no answer came.
set -u
api=${RINGPOST_API:-http://127.0.0.1:8081}
client=$1 event=$2 data=$3 ack=${4:-}

# Each byte as %XX, so that any name may stand in a path or a query.
escaped() { printf %s "$1" | od -An -v -tx1 | tr -d ' \n' | sed 's/../%&/g'; }

# One id for all tries: if the node has taken an earlier one, nobody gets the message twice.
query="id=$(cat /proc/sys/kernel/random/uuid)&event=$(escaped "$event")"
[ "$ack" != ack ] || query="$query&ack=1&wait=ack"

answer=$(mktemp) || exit 3
trap 'rm -f "$answer"' EXIT
[ -z "${RINGPOST_API_KEY:-}" ] || set -- -H "Authorization: Bearer $RINGPOST_API_KEY"
[ -n "${RINGPOST_API_KEY:-}" ] || set --
# curl itself waits as long as Retry-After says, and tries again also without an answer. It takes
# 503 and the like for a reason to try again, and 404 for an answer.
status=$(curl -sS --retry 10 --retry-all-errors --retry-max-time 60 --max-time 10 \
  -o "$answer" -w '%{http_code}' -H 'Content-Type: application/json' "$@" \
  --data-raw "$data" "$api/v1/clients/$(escaped "$client")?$query") || exit 3
cat "$answer"
case $status in
200 | 202) exit 0 ;;
404) grep -q '"state":"absent"' "$answer" && exit 1 || exit 2 ;;
*) exit 2 ;;
esac
