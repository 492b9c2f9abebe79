# One image for every role: the command after the entrypoint says which (`run streams`, `run dlms-worker` ...).
# Built from wheels checked against requirements-image.lock: no development tools, no embedded servers, and no gurux-dlms
# (GPL-2.0; see the licence section of README.md). Never built where it was written: there was no container engine.
FROM python:3.11-slim AS build
WORKDIR /build
RUN python -m venv /opt/meterlog
COPY requirements-image.lock ./
RUN /opt/meterlog/bin/pip install --no-cache-dir --only-binary :all: --require-hashes -r requirements-image.lock
COPY pyproject.toml README.md ./
COPY schemas schemas
COPY operations operations
COPY roles roles
COPY streams streams
COPY connectors connectors
COPY infra infra
RUN /opt/meterlog/bin/pip install --no-cache-dir --no-deps --no-build-isolation . \
    && /opt/meterlog/bin/pip uninstall --yes hatchling editables

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/meterlog --create-home meterlog \
    && install -d -o meterlog -m 700 /var/lib/meterlog/keys
COPY --from=build /opt/meterlog /opt/meterlog
USER meterlog
WORKDIR /var/lib/meterlog
ENV PATH=/opt/meterlog/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    METERLOG_DATA=/var/lib/meterlog \
    METERLOG_KEYS=/var/lib/meterlog/keys \
    METERLOG_METRICS_PORT=9464
# TERM stops every role gracefully; compose and Kubernetes send it.
ENTRYPOINT ["meterlog"]
CMD ["--help"]
