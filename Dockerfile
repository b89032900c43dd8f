# The gateway as an image for amd64 and arm64: docs/docker.md. Everything is installed from wheels with known hashes,
# so that no compiler is needed, in either stage.

FROM python:3.11-slim-bookworm AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv --without-pip /opt/voice-gateway
WORKDIR /build

# First what changes seldom, so that a change of the code does not install everything again.
COPY requirements/image.txt requirements/
RUN pip --python /opt/voice-gateway/bin/python install --no-deps --require-hashes --only-binary :all: \
    --requirement requirements/image.txt

COPY LICENSE README.md pyproject.toml ./
COPY gateway/ gateway/
RUN pip --python /opt/voice-gateway/bin/python install --no-deps --no-build-isolation . \
    && pip --python /opt/voice-gateway/bin/python uninstall --yes \
        editables hatchling pathspec pluggy tomlkit trove-classifiers \
    && pip --python /opt/voice-gateway/bin/python check


FROM python:3.11-slim-bookworm

LABEL org.opencontainers.image.title="MQTT voice gateway" \
      org.opencontainers.image.description="Give every ESP32 its own voice assistant over an ordinary MQTT broker." \
      org.opencontainers.image.licenses="Apache-2.0 AND GPL-3.0-or-later"

# 1000 is usually the first user of a Linux machine: folders of that user can be mounted as they are.
RUN useradd --uid 1000 --user-group --no-create-home --home-dir /data --shell /usr/sbin/nologin voice \
    && install --directory --owner voice --group voice --mode 0700 /data
COPY --from=build /opt/voice-gateway /opt/voice-gateway

# HOME also for a user who has no name in here (docker run --user); models that are fetched stay in the volume.
ENV PATH=/opt/voice-gateway/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/data \
    HF_HOME=/data/models \
    GATEWAY_DATA_DIR=/data \
    GATEWAY_WEB=0.0.0.0:8080
WORKDIR /data
VOLUME /data
# The page and HTTP, with a token.
EXPOSE 8080
USER 1000:1000

STOPSIGNAL SIGTERM
# The start may fetch a speech model, some 145 MB.
HEALTHCHECK --interval=30s --timeout=10s --start-period=5m --retries=3 CMD ["voice-gateway", "health"]
ENTRYPOINT ["voice-gateway"]
CMD ["run"]
