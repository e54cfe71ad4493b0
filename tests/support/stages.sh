# stages.sh - `./dev test` and `./dev soak`: each stage builds what it needs, runs it, and is one
# line with its time and its counts. Sourced by ./dev.

passed=0 failed=0

# The last "N passed, N failed" of a log, as two numbers.
counts_of() {
    sed -n 's/^\([0-9][0-9]*\) passed, \([0-9][0-9]*\) failed$/\1 \2/p' "$1" | tail -n 1
}

# stage TITLE COMMAND...: the command must print "N passed, N failed" as its last word. One that
# does not, or that ends with an error that it did not count, is one failure.
stage() {
    local title=$1 began log good bad status=0
    shift
    log=$logs/${title//[^A-Za-z0-9]/-}.log
    began=$(now)
    printf '%-34s ' "$title"
    "$@" >"$log" 2>&1 </dev/null || status=$?
    read -r good bad <<<"$(counts_of "$log")"
    good=${good:-0} bad=${bad:-0}
    if [ "$bad" -eq 0 ] && { [ $status -ne 0 ] || [ "$good" -eq 0 ]; }; then bad=1; fi
    passed=$((passed + good)) failed=$((failed + bad))
    printf '%7s s   %d passed, %d failed\n' "$(since "$began")" "$good" "$bad"
    [ "$bad" -eq 0 ] || show_log "$log" 40
}

# Counts single tests in the output of ctest --verbose: those of a cmocka program by its summary, a
# program without one, or that died before it, as one. What failed is said again at the end.
count_ctest() {
    awk '
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
            if (!well) again = again $0 "\n" said[number]
            passed += good[number]; failed += bad[number]
        }
        END { print again; printf "%d passed, %d failed\n", passed, failed }'
}

run_ctest() {
    still ctest --test-dir "$1" --verbose --timeout 120 -j "$cpus" "${@:2}" | count_ctest
}

unit() {
    compile dev && run_ctest build/dev
}

# The programs that threads share memory in.
unit_tsan() {
    local name names=()
    for name in queue mailbox message holders log; do
        [ -f tests/unit/test_$name.c ] || { say "tests/unit/test_$name.c is missing"; return 1; }
        names+=("test_$name")
    done
    compile tsan "${names[@]}" && run_ctest build/tsan -R "^($(IFS='|'; echo "${names[*]}"))\$"
}

compiles() {
    compile clang && say "1 passed, 0 failed"
}

rules() {
    python3 tests/tidy/tidy.py
}

# What perf/ makes of figures; nothing is measured.
perf_scripts() {
    python3 tests/perf/run.py
}

clang_tidy() {
    cmake --preset clang >/dev/null || return 1
    local out=$logs/clang-tidy
    rm -rf "$out"
    mkdir -p "$out"
    find core proto ingest ha main -name '*.c' 2>/dev/null | sort | xargs -P "$cpus" -I{} sh -c '
        log=$1/$(echo "$2" | tr / -).log
        if clang-tidy -p build/clang --quiet --warnings-as-errors="*" "$2" >"$log" 2>&1
        then echo "good $2"
        else echo "bad $2"; grep "error:" "$log" | sed "s#^$PWD/##"
        fi' - "$out" {} | tee "$out.all" | grep -v '^good '
    say "more in $out/"
    printf '%d passed, %d failed\n' "$(grep -c '^good ' "$out.all")" "$(grep -c '^bad ' "$out.all")"
}

simulate() {
    compile sim ringpost_sim &&
        still build/sim/ringpost_sim --seeds "$1" --jobs "$cpus" --require-coverage
}

# Every planted bug must be found, and every canary must sing.
planted() {
    compile sim ringpost_sim && still build/sim/ringpost_sim --faults
}

# fuzz SECONDS: each target for so long, starting from its corpus, which is not changed.
fuzz() {
    local seconds=$1 file name corpus good=0 bad=0 work
    compile fuzz || return 1
    for file in tests/fuzz/fuzz_*.c; do
        [ -f "$file" ] || { say "tests/fuzz holds no target"; return 1; }
        name=$(basename "$file" .c) corpus=tests/corpus/${name#fuzz_}
        [ -d "$corpus" ] || { say "$corpus is missing"; return 1; }
        work=build/fuzz/found/$name
        mkdir -p "$work"
        say "== $name"
        if still "build/fuzz/tests/$name" -max_total_time="$seconds" -timeout=10 \
            -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$work-" \
            "$work" "$corpus"; then
            good=$((good + 1))
        else
            bad=$((bad + 1))
        fi
    done
    say "$good passed, $bad failed"
}

# e2e PRESET [ARG...]
e2e() {
    local preset=$1
    shift
    [ -f tests/e2e/run.py ] || { say "tests/e2e/run.py is missing"; return 1; }
    compile "$preset" ringpost &&
        still python3 tests/e2e/run.py --quiet --binary "build/$preset/ringpost" "$@"
}

stage_names=(unit tsan clang tidy perf clang-tidy sim faults fuzz e2e e2e-6.1 e2e-asan e2e-tsan)

run_stage() {
    case $1 in
    unit) stage "unit tests, ASan+UBSan" unit ;;
    tsan) stage "unit tests, TSan" unit_tsan ;;
    clang) stage "compiles without a warning (clang)" compiles ;;
    tidy) stage "rules of the house" rules ;;
    perf) stage "measuring scripts" perf_scripts ;;
    clang-tidy) stage "clang-tidy" clang_tidy ;;
    sim) stage "simulation, $seeds seeds" simulate "$seeds" ;;
    faults) stage "simulation, planted bugs" planted ;;
    fuzz) stage "fuzz, $fuzz_s s a target" fuzz "$fuzz_s" ;;
    e2e) stage "end to end, release" e2e release "${full[@]}" ;;
    e2e-6.1) stage "end to end, Linux 6.1's features" e2e release --extra "--test-kernel-6.1 on" ;;
    e2e-asan) stage "end to end, ASan+UBSan" e2e dev --sanitized ;;
    e2e-tsan) stage "end to end, TSan" e2e tsan --sanitized ;;
    *) say "stages: ${stage_names[*]}" ;;
    esac
}

# Nothing stands behind the closing line, and it stands alone.
run_stages() {
    need "${packages_test[@]}"
    local name
    for name; do
        run_stage "$name"
    done
    say "$passed passed, $failed failed"
    [ "$failed" -eq 0 ] && [ "$passed" -ne 0 ]
}

stages_test() {
    seeds=200 fuzz_s=4 full=()
    local name
    for name; do
        case " ${stage_names[*]} " in
        *" $name "*) ;;
        *) say "stages: ${stage_names[*]}"; [ "$name" = help ]; exit ;;
        esac
    done
    if [ $# -eq 0 ]; then set -- "${stage_names[@]}"; fi
    run_stages "$@"
}

stages_soak() {
    seeds=10000 fuzz_s=60 full=(--full)
    say "ringpost $(sed -n 's/.*RINGPOST_VERSION "\(.*\)"/\1/p' main/version.h), $(date -u +%F)," \
        "Linux $(uname -r), $cpus CPUs ($(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -n 1))"
    run_stages unit tsan sim faults fuzz e2e e2e-6.1 e2e-asan e2e-tsan
}
