# stages.sh - `./dev test` and `./dev soak`: each stage builds what it needs, runs it, and is one
# line with its time and its counts. Sourced by ./dev.

passed=0 failed=0
again=() # how to see again what failed, a line each

# The last "N passed, N failed" of a log, as two numbers.
counts_of() {
    sed -n 's/^\([0-9][0-9]*\) passed, \([0-9][0-9]*\) failed$/\1 \2/p' "$1" | tail -n 1
}

# stage NAME TITLE COMMAND...: the command must print "N passed, N failed" as its last word. One
# that does not, or that ends with an error that it did not count, is one failure. Lines
# "again: COMMAND" of it say how to see a failure again; without any it is the stage itself.
stage() {
    local name=$1 title=$2 began log good bad status=0 lines
    shift 2
    log=$logs/${title//[^A-Za-z0-9]/-}.log
    began=$(now)
    printf '%-34s ' "$title"
    "$@" >"$log" 2>&1 </dev/null || status=$?
    read -r good bad <<<"$(counts_of "$log")"
    good=${good:-0} bad=${bad:-0}
    if [ "$bad" -eq 0 ] && { [ $status -ne 0 ] || [ "$good" -eq 0 ]; }; then bad=1; fi
    passed=$((passed + good)) failed=$((failed + bad))
    printf '%7s s   %d passed, %d failed\n' "$(since "$began")" "$good" "$bad"
    [ "$bad" -eq 0 ] && return
    show_log "$log" 40
    mapfile -t lines < <(sed -n 's/^again: //p' "$log")
    [ ${#lines[@]} -ne 0 ] || lines=("./dev $how $name")
    again+=("$title:" "${lines[@]/#/    }")
}

# count_ctest DIR: counts single tests in the output of ctest --verbose. A cmocka program counts by
# its summary; one without a summary, or that died before it, is one test. What failed comes again
# at the end.
count_ctest() {
    awk -v "dir=$1" '
        { print }
        match($0, /^[0-9]+: /) {
            test = substr($0, 1, RLENGTH - 2)
            if (!/\[ RUN  |\[       OK |Test command|Working Directory/)
                said[test] = said[test] $0 "\n"
        }
        /^[0-9]+: \[  PASSED  \] [0-9]+ test/ { good[test] += $5; summed[test] = 1 }
        /^[0-9]+: \[  FAILED  \] [0-9]+ test\(s\), listed/ { bad[test] += $5 }
        /^ *[0-9]+\/[0-9]+ Test +#[0-9]+: / {
            number = $0
            sub(/^[^#]*#/, "", number); sub(/:.*/, "", number)
            well = / Passed /
            if (well && !summed[number]) good[number] = 1
            if (!well && !bad[number]) bad[number] = 1
            if (!well) {
                broken = broken $0 "\n" said[number]
                name = $0
                sub(/^[^#]*#[0-9]+: /, "", name); sub(/ .*/, "", name)
                again = again "again: ctest --test-dir " dir " --output-on-failure -R ^" name "$\n"
            }
            passed += good[number]; failed += bad[number]
        }
        END { print broken; printf "%s%d passed, %d failed\n", again, passed, failed }'
}

run_ctest() {
    still ctest --test-dir "$1" --verbose --timeout 120 -j "$cpus" "${@:2}" |
        count_ctest "$1"
}

unit() {
    compile dev && run_ctest build/dev
}

# The programs that threads share memory in.
unit_tsan() {
    local name names=()
    for name in queue mailbox message holders store port_threads log; do
        if [ -z "$(find tests/unit -name "test_$name.c")" ]; then
            say "there is no test_$name.c"
            return 1
        fi
        names+=("test_$name")
    done
    compile tsan "${names[@]}" && run_ctest build/tsan -R "^($(IFS='|'; echo "${names[*]}"))\$"
}

# power RUNS: the power is cut so often under the store, at each of its policies.
power() {
    local name names=() log=build/log/power-cuts
    for name in $(find tests/unit/ha/store -name 'test_*power.c'); do
        names+=("$(basename "$name" .c)")
    done
    compile dev "${names[@]}" || return 1
    for name in "${names[@]}"; do
        RINGPOST_RUNS=$1 still "build/dev/tests/$name" 2>&1 || say "again: RINGPOST_RUNS=$1" \
            "build/dev/tests/$name"
    done | tee "$log"
    say "$(grep -c '^\[       OK' "$log") passed, $(grep -c '^\[  FAILED  \] test' "$log") failed"
}

# Tests and tools, and only what changed since it passed. Nothing is linked; the presets tsan and
# fuzz compile and link the program with clang.
compiles() {
    cmake --preset clang && python3 tests/tidy/compile_check.py warnings
}

rules() {
    python3 tests/tidy/tidy.py
}

# What ./dev test itself relies on.
tools() {
    python3 tests/support/test_tools.py
}

# What perf/ makes of figures; nothing is measured.
perf_scripts() {
    python3 tests/perf/run.py
}

# clang_tidy [clang-tidy-deep]
clang_tidy() {
    cmake --preset clang && python3 tests/tidy/compile_check.py "${1-clang-tidy}"
}

# simulate PRESET SEEDS
simulate() {
    compile "$1" ringpost_sim &&
        still "build/$1/ringpost_sim" --seeds "$2" --jobs "$cpus" --require-coverage
}

# Every planted bug must be found, and every canary must sing.
planted() {
    compile sim ringpost_sim && still build/sim/ringpost_sim --faults --jobs "$cpus"
}

# fuzz_one NAME SECONDS: one target, starting from its corpus, which is not changed.
fuzz_one() {
    local name=$1 log=build/fuzz/found/$1.log corpus=tests/corpus/${1#fuzz_} status=0
    [ -d "$corpus" ] || { say "bad $name: $corpus is missing"; return; }
    mkdir -p "build/fuzz/found/$name"
    still "build/fuzz/tests/$name" -max_total_time="$2" -timeout=10 -rss_limit_mb=2048 \
        -print_final_stats=1 -artifact_prefix="build/fuzz/found/$name-" \
        "build/fuzz/found/$name" "$corpus" >"$log" 2>&1 || status=$?
    if [ $status -eq 0 ]; then
        say "good $name"
        return
    fi
    say "bad $name:"
    tail -n 40 "$log"
    say "again: build/fuzz/tests/$name $(sed -n 's/.*Test unit written to //p' "$log" | tail -n 1)"
}

# fuzz SECONDS: each target for so long, as many at a time as there are CPUs.
fuzz() {
    local all=build/log/fuzz-targets
    compile fuzz || return 1
    mkdir -p build/fuzz/found
    export -f fuzz_one still say
    find tests/fuzz -name 'fuzz_*.c' | sed 's#.*/##; s#\.c$##' | sort |
        xargs -P "$cpus" -I{} bash -c 'fuzz_one "$1" "$2"' - {} "$1" | tee "$all"
    say "$(grep -c '^good ' "$all") passed, $(grep -c '^bad ' "$all") failed"
}

# e2e PRESET [ARG...]
e2e() {
    local preset=$1
    shift
    [ -f tests/e2e/run.py ] || { say "tests/e2e/run.py is missing"; return 1; }
    compile "$preset" ringpost &&
        still python3 tests/e2e/run.py --quiet --binary "build/$preset/ringpost" "$@"
}

# The image, with a dockerd of its own; only when asked for by name.
container() {
    tests/docker.sh
}

# What tells soonest and costs least comes first. Each end-to-end test meets the release and one
# sanitizer, which a soak has both of: a half of the classes meets TSan (half_tsan), the other ASan
# with the ring as Linux 6.1 has it (half_asan). Where TSan has nothing to see, ASan has the whole:
# programs that others wrote, the commands, a Redis that lies (but_others; the last without the
# release, but_lies), and what one thread does with hostile bytes (but_bytes). A Redis that comes
# and goes is waited for with TSan (but_waits); clients in Python, which take seconds to start, meet
# the release alone (but_python).
stage_names=(tools tidy perf unit clang sim faults e2e tsan e2e-tsan e2e-6.1-asan fuzz clang-tidy)
more_stage_names=(sim-bare e2e-6.1 e2e-asan clang-tidy-deep power docker)

run_stage() {
    case $1 in
    tools) stage "$1" "tools of the tests" tools ;;
    tidy) stage "$1" "rules of the house" rules ;;
    perf) stage "$1" "measuring scripts" perf_scripts ;;
    unit) stage "$1" "unit tests, ASan+UBSan" unit ;;
    power) stage "$1" "power cuts, $power_runs runs" power "$power_runs" ;;
    clang) stage "$1" "tests compile without a warning" compiles ;;
    sim) stage "$1" "simulation, $seeds seeds" simulate sim "$seeds" ;;
    sim-bare) stage "$1" "simulation, $bare_seeds, no sanitizer" simulate sim-bare "$bare_seeds" ;;
    faults) stage "$1" "simulation, planted bugs" planted ;;
    e2e) stage "$1" "end to end, release" e2e release "${full[@]}" "${but_lies[@]}" ;;
    e2e-6.1) stage "$1" "end to end, Linux 6.1's features" e2e release \
        --extra "--test-kernel-6.1 on" ;;
    e2e-6.1-asan) stage "$1" "end to end, ASan+UBSan, Linux 6.1" e2e dev --sanitized \
        --extra "--test-kernel-6.1 on" "${but_python[@]}" "${but_waits[@]}" "${half_asan[@]}" ;;
    tsan) stage "$1" "unit tests, TSan" unit_tsan ;;
    e2e-tsan) stage "$1" "end to end, TSan" e2e tsan --sanitized "${but_others[@]}" \
        "${but_bytes[@]}" "${half_tsan[@]}" ;;
    e2e-asan) stage "$1" "end to end, ASan+UBSan" e2e dev --sanitized ;;
    fuzz) stage "$1" "fuzz, $fuzz_s s a target" fuzz "$fuzz_s" ;;
    clang-tidy) stage "$1" "clang-tidy" clang_tidy ;;
    clang-tidy-deep) stage "$1" "clang-tidy, more paths" clang_tidy "$1" ;;
    docker) stage "$1" "container" container ;;
    *) say "stages: ${stage_names[*]}; ${more_stage_names[*]}" ;;
    esac
}

# Nothing stands behind the closing line, and it stands alone.
run_stages() {
    need "${packages_test[@]}"
    want "${packages_more[@]}"
    want_npm
    local name began
    began=$(now)
    for name; do
        run_stage "$name"
    done
    say "in $(since "$began") s"
    if [ ${#again[@]} -ne 0 ]; then
        say
        say "what failed, and how to see it again:"
        printf '  %s\n' "${again[@]}"
        say
    fi
    say "$passed passed, $failed failed"
    [ "$failed" -eq 0 ] && [ "$passed" -ne 0 ]
}

# Ends with the names of the stages if one of the words is none.
stages_named() {
    local name
    for name; do
        case " ${stage_names[*]} ${more_stage_names[*]} " in
        *" $name "*) ;;
        *) say "stages: ${stage_names[*]}; ${more_stage_names[*]}"; [ "$name" = help ]; exit ;;
        esac
    done
}

stages_test() {
    how=test seeds=200 bare_seeds=1000 fuzz_s=3 power_runs=50 full=()
    but_python=(--but test_sio_python)
    but_others=("${but_python[@]}" --but test_examples --but test_page --but test_proxies
        --but test_sio_clients --but test_bench --but test_commands --but test_packaging
        --but test_redis_lies --but test_adapter --but test_alerts)
    but_waits=(--but test_redis_faults --but test_redis_start)
    but_lies=(--but test_redis_lies)
    but_bytes=(--but test_http_wire --but test_early_answers --but test_survival --but test_start
        --but test_metrics --but test_sandbox --but test_hardening --but test_support)
    half_tsan=(--half 0 "${but_waits[@]/#--but/--whole}")
    half_asan=(--half 1 "${but_others[@]/#--but/--whole}" "${but_bytes[@]/#--but/--whole}")
    stages_named "$@"
    if [ $# -eq 0 ]; then set -- "${stage_names[@]}"; fi
    run_stages "$@"
}

stages_soak() {
    how=soak seeds=1000 bare_seeds=10000 fuzz_s=60 power_runs=2000 full=(--full)
    but_others=() but_python=() but_waits=() but_lies=() but_bytes=() half_tsan=() half_asan=()
    stages_named "$@"
    if [ $# -eq 0 ]; then set -- unit power tsan sim sim-bare faults fuzz e2e e2e-6.1 e2e-asan \
        e2e-tsan clang-tidy-deep; fi
    say "ringpost $(sed -n 's/.*RINGPOST_VERSION "\(.*\)"/\1/p' main/version.h), $(date -u +%F)," \
        "Linux $(uname -r), $cpus CPUs ($(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1))"
    run_stages "$@"
}
