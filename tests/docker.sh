#!/bin/bash
# docker.sh - builds the image, runs it under packaging/seccomp.json and under one without io_uring.
#
#   tests/docker.sh        or   ./dev test docker
#
# Starts a dockerd of its own (root needed) with everything in a temporary folder, and a base image
# made by mmdebstrap, so that no registry is asked. Where that cannot be it says why and is skipped.
# Ends with `N passed, N failed`.
set -u -o pipefail
cd "$(dirname "$(readlink -f "$0")")/.." || exit 1

passed=0 failed=0
ok() { passed=$((passed + 1)); echo "ok      $1"; }
bad() { failed=$((failed + 1)); echo "FAILED  $1"; }
finish() { echo "$passed passed, $failed failed"; [ "$failed" -eq 0 ]; exit; }
skip() { # by name; a stage without a test would be a failure
    echo "skip    container: $1"
    passed=1
    finish
}
check() { local what=$1; shift; if "$@"; then ok "$what"; else bad "$what"; fi; }

[ "$(id -u)" -eq 0 ] || skip "dockerd wants root"
docker=/usr/bin/docker
for program in dockerd $docker mmdebstrap; do
    command -v $program >/dev/null ||
        skip "$program is missing: apt-get install docker.io mmdebstrap"
done
if ip link show docker0 >/dev/null 2>&1; then skip "another dockerd has docker0"; fi

work=$(mktemp -d "${TMPDIR:-/tmp}/ringpost-docker-XXXXXX")
pid='' name=''
# Asking makes the tables, so that restoring them empties what dockerd puts in.
iptables -S >/dev/null 2>&1
iptables -t nat -S >/dev/null 2>&1
iptables-save >"$work/rules" 2>/dev/null
clean() {
    [ -z "$name" ] || $docker rm -f "$name" >/dev/null 2>&1
    [ -z "$pid" ] || { kill "$pid"; wait "$pid"; }
    # What dockerd leaves behind in this network namespace, and in this folder.
    ip link del docker0 2>/dev/null
    iptables-restore <"$work/rules" 2>/dev/null
    grep -o " $work/[^ ]*" /proc/mounts | while read -r mounted; do umount "$mounted"; done
    rm -rf "$work"
}
trap clean EXIT
export DOCKER_HOST=unix://$work/docker.sock DOCKER_BUILDKIT=0
dockerd --data-root "$work/data" --exec-root "$work/exec" --pidfile "$work/pid" \
    -H "$DOCKER_HOST" --storage-driver overlay2 >"$work/log" 2>&1 &
pid=$!
for _ in $(seq 100); do
    $docker version >/dev/null 2>&1 && break
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.2
done
$docker version >/dev/null 2>&1 || { tail -n 3 "$work/log"; skip "dockerd does not start here"; }

base=build/docker-base.tar
mkdir -p build
if [ ! -f "$base" ]; then
    mmdebstrap --quiet --format=tar --variant=minbase --include=ca-certificates bookworm \
        "$base.new" &&
        mv "$base.new" "$base" || skip "no base image could be made"
fi
$docker import "$base" debian:bookworm-slim >/dev/null || { bad "the base image is taken"; finish; }

if $docker build --network host -t ringpost . >"$work/build" 2>"$work/build.err"; then
    ok "the image builds"
else
    tail -n 20 "$work/build" "$work/build.err"
    bad "the image builds"
    finish
fi
# Docker's notice about its own old builder is not ours.
red=$(grep -v -e 'DEPRECATED: The legacy builder' -e 'Install the buildx' -e 'BuildKit' \
    -e '^ *$' -e 'docs.docker.com' "$work/build.err")
warned=$(grep -v '^Step ' "$work/build" | grep -iE '^(debconf|W:|E:)|warning')
echo "$red$warned"
check "without a red line" [ -z "$red$warned" ]

out=$($docker run --rm --network host ringpost 2>&1)
check "without a key the start names it" grep -qF -e '-e RINGPOST_API_KEY=' <<<"$out"

sed 's/"io_uring_[a-z]*",\{0,1\}//; /^ *$/d' packaging/seccomp.json >"$work/without.json"
out=$($docker run --rm --network host -e RINGPOST_API_KEY=k \
    --security-opt seccomp="$work/without.json" ringpost 2>&1)
check "where io_uring is refused it says the remedy" grep -q 'security-opt seccomp=' <<<"$out"

run=(--network host --security-opt seccomp=packaging/seccomp.json --cap-drop ALL --read-only
    --security-opt no-new-privileges -e RINGPOST_API_KEY=key -e RINGPOST_TCP=127.0.0.1:0
    -e RINGPOST_WEB=127.0.0.1:0 -e RINGPOST_API=127.0.0.1:18099)
name=$($docker run -d "${run[@]}" ringpost 2>&1)
push() {
    curl -s -o /dev/null -w '%{http_code}' -H 'Authorization: Bearer key' \
        -d '"x"' -H 'Content-Type: application/json' http://127.0.0.1:18099/v1/clients/nobody
}
for _ in $(seq 100); do
    [ "$(push)" = 404 ] && break
    sleep 0.1
done
check "under the profile a push is answered" [ "$(push)" = 404 ]
check "in the sandbox" grep -q 'event=sandbox_on' <<<"$($docker logs "$name" 2>&1)"
check "and nothing is refused" [ -z "$($docker logs "$name" 2>&1 | grep sandbox_refused)" ]
if $docker exec "$name" ringpost health >/dev/null 2>&1; then
    for _ in $(seq 60); do
        health=$($docker inspect -f '{{.State.Health.Status}}' "$name")
        [ "$health" = starting ] || break
        sleep 0.5
    done
    check "Docker calls it healthy" [ "$health" = healthy ]
else
    bad "ringpost health in the container: $($docker exec "$name" ringpost health 2>&1 | head -n 1)"
fi
$docker stop -t 20 "$name" >/dev/null
check "and it drains" [ "$($docker inspect -f '{{.State.ExitCode}}' "$name")" = 0 ]
finish
