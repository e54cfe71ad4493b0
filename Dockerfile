# The server in a container: built with Debian's packages, run with the libraries alone.
#
#   docker build -t ringpost .
#   docker run --rm -p 7000:7000 -p 8080:8080 -p 8081:8081 \
#     --security-opt seccomp=packaging/seccomp.json -e RINGPOST_API_KEY=... ringpost
#
# Docker 25 and later block io_uring unless the profile allows it; see docs/operations.md.
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS build
ARG DEBIAN_FRONTEND=noninteractive
ARG DEBCONF_NOWARNINGS=yes
# libllhttp-dev is a package of its own since Debian 13; before, node-llhttp has the sources.
RUN apt-get update -qq \
    && llhttp=$(apt-cache show libllhttp-dev >/dev/null 2>&1 && echo libllhttp-dev || echo node-llhttp) \
    && apt-get install -y -qq --no-install-recommends \
        gcc make libc6-dev cmake ninja-build pkg-config liburing-dev libck-dev libsodium-dev \
        libseccomp-dev libisal-dev libhiredis-dev libmpack-dev libwolfssl-dev zlib1g-dev libcurl4-gnutls-dev \
        librabbitmq-dev "$llhttp" >/dev/null \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cmake --preset release && ninja -C build/release ringpost \
    && strip -o /ringpost build/release/ringpost \
    && ldd /ringpost

FROM ${BASE}
ARG DEBIAN_FRONTEND=noninteractive
ARG DEBCONF_NOWARNINGS=yes
# Whatever libraries the program is linked with, by the packages that they come from; what
# alerts and queues load.
RUN apt-get update -qq \
    && llhttp=$(apt-cache pkgnames libllhttp | grep -E '^libllhttp[0-9.]+$' | head -n 1) \
    && wolfssl=$(apt-cache pkgnames libwolfssl | grep -E '^libwolfssl[0-9]+(t64)?$' | head -n 1) \
    && hiredis=$(apt-cache pkgnames libhiredis | grep -E '^libhiredis[0-9.]+(t64)?$' | head -n 1) \
    && curl=$(apt-cache pkgnames libcurl3 | grep -E '^libcurl3(t64)?-gnutls$' | head -n 1) \
    && apt-get install -y -qq --no-install-recommends liburing2 libsodium23 libseccomp2 libisal2 \
        zlib1g libmpack0 librabbitmq4 "$hiredis" "$wolfssl" "$curl" ca-certificates $llhttp >/dev/null \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --no-log-init --uid 700 --no-create-home --shell /usr/sbin/nologin ringpost \
    && install -d -o ringpost -g ringpost -m 700 /var/lib/ringpost
COPY --from=build /ringpost /usr/bin/ringpost
USER ringpost
# A store on disk goes to a volume: -v ringpost:/var/lib/ringpost -e RINGPOST_DATA=/var/lib/ringpost
#
# A container's own loopback is reached by nobody. Flags win over these.
ENV RINGPOST_TCP=0.0.0.0:7000 RINGPOST_WEB=0.0.0.0:8080 RINGPOST_API=0.0.0.0:8081
EXPOSE 7000 8080 8081
# Docker kills after 10 seconds unless --stop-timeout says more: --drain-timeout is to end before.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=5s CMD ["ringpost", "health"]
ENTRYPOINT ["ringpost"]
CMD ["serve"]
