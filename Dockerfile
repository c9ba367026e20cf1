# One image for workers, schedulers and the metrics exporter: see docs/guides/deploy.md.
#
#   docker build --tag asynqio .
#   docker run --init --env ASYNQIO_BROKER=redis://redis:6379/0 --volume ./shop:/app/shop:ro asynqio worker shop.tasks:app

FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src ./src
RUN pip install --no-cache-dir --no-warn-script-location --root-user-action=ignore \
    --prefix=/install --constraint constraints.txt ".[all]"

FROM python:3.13-slim
LABEL org.opencontainers.image.title="asynqio" \
      org.opencontainers.image.description="Worker, scheduler and metrics exporter of the asynqio task queue" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.source="https://github.com/asynqio/asynqio"
ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
COPY --from=build /install /usr/local
COPY deploy/docker/healthcheck.py /usr/local/share/asynqio/healthcheck.py
# A fixed id, so that Kubernetes can check runAsNonRoot; /data is for SQLite.
RUN useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin asynqio \
    && install --directory --owner=asynqio --group=asynqio /app /data
WORKDIR /app
USER 10001
# A worker or scheduler is gone from the broker 15 seconds after its last heartbeat.
HEALTHCHECK --interval=30s --timeout=15s --start-period=20s --retries=3 \
    CMD ["python", "/usr/local/share/asynqio/healthcheck.py"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["asynqio"]
CMD ["--help"]
