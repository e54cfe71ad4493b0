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
    libseccomp-dev libisal-dev libwolfssl-dev zlib1g-dev llhttp)
packages_test=("${packages_build[@]}" libcmocka-dev clang libclang-rt-dev clang-format clang-tidy
    python3 curl netcat-openbsd lua5.4 lua-socket lua-cjson strace)

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
    ninja-build) installed "$1" || command -v ninja >/dev/null ;;
    pkg-config) installed "$1" || command -v pkg-config >/dev/null ;;
    *) installed "$1" ;;
    esac
}

# need PACKAGE...: returns when all are there, ends the program when they cannot be.
need() {
    local package missing=()
    if ! command -v dpkg-query >/dev/null; then
        say "this is not Debian, so nothing is installed here; needed are, by Debian's names: $*"
        return
    fi
    for package; do
        there "$package" || missing+=("$package")
    done
    [ ${#missing[@]} -ne 0 ] || return 0

    local sudo=()
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null || ! { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
            die "packages are missing; as root run: apt-get update &&" \
                "apt-get install -y --no-install-recommends ${missing[*]/#llhttp/node-llhttp}"
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
        exit 1
    fi
}
