# The server in a container: built with Debian's packages, run with the libraries alone.
# io_uring must be allowed: Docker 25 and later block it unless --security-opt seccomp=PROFILE says
# otherwise.
ARG BASE=debian:bookworm-slim

FROM ${BASE} AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        gcc libc6-dev cmake ninja-build pkg-config liburing-dev libck-dev libsodium-dev \
        libseccomp-dev \
    && (apt-get install -y --no-install-recommends libllhttp-dev \
        || apt-get install -y --no-install-recommends node-llhttp) \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cmake --preset release && ninja -C build/release ringpost \
    && ldd build/release/ringpost \
    && strip -o /ringpost build/release/ringpost

FROM ${BASE}
# libllhttp is a library of its own since Debian 13; before, it is inside the binary.
RUN apt-get update \
    && apt-get install -y --no-install-recommends liburing2 libsodium23 libseccomp2 \
    && (apt-get install -y --no-install-recommends '^libllhttp[0-9.]+$' || true) \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 7000 --no-create-home --shell /usr/sbin/nologin ringpost
COPY --from=build /ringpost /usr/bin/ringpost
USER ringpost
EXPOSE 7000 8080
ENTRYPOINT ["ringpost"]
CMD ["serve", "--tcp", "0.0.0.0:7000", "--web", "0.0.0.0:8080", "--api", "127.0.0.1:8081"]
