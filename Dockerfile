# One image for every process: `api` by default, or `worker`, `scheduler`, `db migrate` (see docker-compose.yml). It runs
# as a user without rights and, given a volume at /data and a writable /tmp, on a read-only root.
# Only features that the classic builder of docker-compose 1.29 knows.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
COPY requirements.txt /tmp/
# wheels only: what would need a compiler fails here
RUN python -m venv --without-pip /opt/venv \
    && python -m pip --python /opt/venv/bin/python install \
        --no-cache-dir --disable-pip-version-check --require-hashes --only-binary :all: -r /tmp/requirements.txt
WORKDIR /app
COPY alembic.ini cli.py main.py ./
COPY alembic ./alembic
COPY src ./src
COPY packages/embedded-services ./packages/embedded-services
# a read-only root never gets its bytecode later; unchecked, because copying may change the times of files
RUN python -m compileall -q --invalidation-mode unchecked-hash alembic src packages cli.py main.py

FROM ${PYTHON_IMAGE}
RUN python -m pip uninstall --yes pip setuptools wheel \
    && groupadd --gid 10001 ignite \
    && useradd --uid 10001 --gid ignite --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin ignite \
    && install -d -o ignite -g ignite /data
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
# HOST opens the door to other machines: the program then refuses the development secret unless ALLOW_INSECURE=1
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app/src \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    IGNITE_DATA_DIR=/data \
    CACHE_FILE_PATH=/data/cache
WORKDIR /app
USER 10001:10001
EXPOSE 8000
# liveness only: a database that is away must not make an orchestrator kill the API
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["python", "-c", "\
import http.client, os, sys; \
api = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('PORT') or 8000), timeout=4); \
api.request('GET', (os.environ.get('API_PREFIX') or '/api') + '/v1/health/live'); \
sys.exit(api.getresponse().status != 200)"]
ENTRYPOINT ["python", "cli.py"]
CMD ["api"]
