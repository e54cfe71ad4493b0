# run.sh - `./dev run`: a node, a client that listens, a message that arrives. Sourced by ./dev.

node= listener= follower=

# Ends what this script started, and nothing else.
run_end() {
    local pid
    for pid in $follower $listener $node; do
        kill -TERM "$pid" 2>/dev/null
    done
    for pid in $follower $listener $node; do
        wait "$pid" 2>/dev/null
    done
    follower= listener= node=
}

# Stops the node and says how that went; ends this script.
node_stop() {
    local status
    kill -TERM "$node" 2>/dev/null
    wait "$node"
    status=$?
    node=
    if [ $status -ne 0 ]; then
        show_log "$node_log" 10
        die "the node ended with status $status"
    fi
    say "the node is stopped"
    exit 0
}

alive() { kill -0 "$1" 2>/dev/null; }

# first KIND: the first address of a listener, from the ports file.
first() {
    sed -n "s/.*\"$1\":\[\"\([^\"]*\)\".*/\1/p" "$ports" |
        sed 's/^0\.0\.0\.0:/127.0.0.1:/; s/^\[::\]:/[::1]:/'
}

run() {
    local once= flag flags=() binary=build/release/ringpost tries
    node_log=$logs/node.log
    for flag; do
        if [ "$flag" = --once ]; then once=1; else flags+=("$flag"); fi
    done
    if [ "${CI:-}" = true ] || [ ! -t 0 ]; then once=1; fi

    local heard=$logs/listen.log notes=$logs/listen.notes
    local pushed=$logs/push.log
    ports=$logs/ports.json
    rm -f "$ports" "$heard" "$notes" "$pushed"
    trap run_end EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM

    say "\$ ringpost serve${flags[*]:+ ${flags[*]}}"
    "$binary" serve --ports-file "$PWD/$ports" "${flags[@]}" >"$node_log" 2>&1 </dev/null &
    node=$!
    for ((tries = 0; tries < 200; tries++)); do
        [ ! -s "$ports" ] || break
        alive "$node" || break
        sleep 0.05
    done
    if [ ! -s "$ports" ] || ! alive "$node"; then
        show_log "$node_log" 10
        say "the node did not start. If a port is taken, choose others:" >&2
        say "    ./dev run --tcp 127.0.0.1:7001 --web 127.0.0.1:8090 --api 127.0.0.1:8091" >&2
        exit 1
    fi
    local tcp api
    tcp=$(first tcp) api=$(first api)
    [ -n "$tcp" ] && [ -n "$api" ] || die "this shows a message from api to tcp: leave both on"
    say "the node runs (pid $node): clients at tcp $tcp, producers at http://$api"

    local to=(--tcp "$tcp") from=(--api "$api")
    [ "$tcp" != 127.0.0.1:7000 ] || to=()
    [ "$api" != 127.0.0.1:8081 ] || from=()
    say "\$ ringpost listen --id till-7${to[*]:+ ${to[*]}} &"
    "$binary" listen --id till-7 "${to[@]}" >"$heard" 2>"$notes" </dev/null &
    listener=$!

    local push=("$binary" push --to till-7 --event payment "${from[@]}" '{"amount":12}')
    say "\$ ringpost push --to till-7 --event payment${from[*]:+ ${from[*]}} '{\"amount\":12}'"
    # Until the listener is registered nobody is there.
    for ((tries = 0; tries < 100; tries++)); do
        if "${push[@]}" >"$pushed" 2>&1; then break; fi
        alive "$listener" && alive "$node" && grep -q absent "$pushed" || break
        sleep 0.05
    done
    for ((tries = 0; tries < 100; tries++)); do
        [ ! -s "$heard" ] || break
        sleep 0.05
    done
    cat "$pushed"
    if [ ! -s "$heard" ]; then
        show_log "$notes" 10
        show_log "$node_log" 10
        die "the message did not arrive"
    fi
    say "and the listener printed:"
    cat "$heard"

    if [ -n "$once" ]; then
        kill -TERM "$listener" && wait "$listener"
        listener=
        node_stop
    fi
    say
    say "The node goes on until Ctrl-C; its log is $node_log. In another terminal try:"
    say "    build/release/ringpost push --to till-7${from[*]:+ ${from[*]}} --text 'hello'"
    tail -n +2 -f "$heard" --pid="$node" &
    follower=$!
    trap node_stop INT TERM
    wait "$node"
    local status=$?
    node=
    show_log "$node_log" 10
    die "the node ended by itself, with status $status"
}
