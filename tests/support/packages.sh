# packages.sh - which Debian packages are needed for what, and how they get here. Sourced by ./dev.

# llhttp has a package of its own since Debian 13; before, node-llhttp carries its sources.
llhttp_package() {
    if [ -e /usr/share/llhttp/llhttp.c ]; then
        echo node-llhttp
    elif apt-cache show libllhttp-dev >/dev/null 2>&1; then
        echo libllhttp-dev
    else
        echo node-llhttp
    fi
}

packages_build=(gcc make libc6-dev cmake ninja-build pkg-config liburing-dev libck-dev libsodium-dev
    libseccomp-dev libisal-dev libhiredis-dev libmpack-dev libwolfssl-dev zlib1g-dev
    libcurl4-gnutls-dev librabbitmq-dev llhttp)
packages_test=("${packages_build[@]}" libcmocka-dev clang libclang-rt-dev clang-format clang-tidy
    python3 curl netcat-openbsd lua5.4 lua-socket lua-cjson strace haproxy nginx-light
    libnginx-mod-stream redis-server redis-sentinel)
# Tests of browsers and of examples, which are skipped by name where these cannot be had.
packages_more=(chromium nodejs npm python3-websockets python3-socketio python3-aiohttp
    python3-requests python3-websocket python3-aiosmtpd rabbitmq-server python3-pika)

installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# A command that was installed in another way will do as well.
there() {
    case $1 in
    llhttp) installed libllhttp-dev || installed node-llhttp ;;
    gcc | cmake | clang | clang-format | clang-tidy | python3)
        installed "$1" || command -v "$1" >/dev/null
        ;;
    nodejs) command -v node >/dev/null ;;
    npm) command -v npm >/dev/null ;;
    nginx-light) command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] ;;
    ninja-build) installed "$1" || command -v ninja >/dev/null ;;
    pkg-config) installed "$1" || command -v pkg-config >/dev/null ;;
    *) installed "$1" ;;
    esac
}

# need PACKAGE...: returns when all are there, ends the program when they cannot be.
need() {
    if ! command -v dpkg-query >/dev/null; then
        say "this is not Debian, so nothing is installed here; needed are, by Debian's names: $*"
        return
    fi
    install_missing "$@" || exit 1
}

# want PACKAGE...: the same, but goes on without what cannot be had.
want() {
    ! command -v dpkg-query >/dev/null || install_missing "$@" ||
        say "going on; what needs these packages is skipped"
}

# False: they are not there, and why was said.
install_missing() {
    local package missing=()
    for package; do
        there "$package" || missing+=("$package")
    done
    [ ${#missing[@]} -ne 0 ] || return 0

    local sudo=()
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null || ! { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
            say "./dev: packages are missing; as root run: apt-get update &&" \
                "apt-get install -y --no-install-recommends ${missing[*]/#llhttp/node-llhttp}" >&2
            return 1
        fi
        sudo=(sudo)
    fi
    local began log=$logs/apt.log
    began=$(now)
    printf 'apt-get update ... '
    if "${sudo[@]}" apt-get update >"$log" 2>&1; then
        say "$(since "$began") s"
    else
        say "failed, going on with the lists that are here"
    fi
    missing=("${missing[@]/#llhttp/$(llhttp_package)}")
    began=$(now)
    printf 'installing %s ... ' "${missing[*]}"
    if "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends "${missing[@]}" >>"$log" 2>&1; then
        say "$(since "$began") s"
    else
        say failed
        show_log "$log"
        return 1
    fi
}

# What tests take from the npm registry, as their lock file has it, into build/npm. Without a
# registry they are skipped by name.
want_npm() {
    local from=tests/e2e/npm to=build/npm log=$logs/npm.log began
    # What is there is known by a copy of the lock file, which comes last.
    if cmp -s "$from/package-lock.json" "$to/installed.json" || ! command -v npm >/dev/null; then
        return
    fi
    began=$(now)
    printf 'installing tests/e2e/npm ... '
    rm -rf "$to"
    mkdir -p "$to"
    cp "$from/package.json" "$from/package-lock.json" "$to"
    if npm ci --prefix "$to" --ignore-scripts --no-audit --no-fund >"$log" 2>&1; then
        cp "$from/package-lock.json" "$to/installed.json"
        say "$(since "$began") s"
    else
        say "failed, going on; what needs it is skipped"
    fi
}
