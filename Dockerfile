# One image for every part: `api`, `worker --queue NAME`, `flower`, `db upgrade`. Nothing in it is written at run time.
#
#   docker build --tag ansible-api:0.1.0 .
#   docker build --build-arg COLLECTIONS="community.general:11.4.2 ansible.posix" --build-arg PACKAGES="netaddr" .

FROM python:3.11-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PATH=/opt/ansible-api/bin:$PATH
WORKDIR /src
RUN python3 -m venv /opt/ansible-api
COPY requirements-image.txt ./
RUN pip install --quiet --require-hashes --requirement requirements-image.txt

# What playbooks find beside Ansible: collections by their Galaxy names, and packages that these need. The package
# `ansible`, of the release that fits ansible-core, is all of the community's collections at once.
ARG COLLECTIONS=""
ARG PACKAGES=""
RUN mkdir /collections \
    && if [ -n "$PACKAGES" ]; then \
         sed 's/ *\\$//; /^ *--hash/d' requirements-image.txt >/tmp/ours.txt \
         && pip install --quiet --constraint /tmp/ours.txt $PACKAGES; \
       fi \
    && if [ -n "$COLLECTIONS" ]; then ansible-galaxy collection install --collections-path /collections $COLLECTIONS; fi

COPY pyproject.toml README.md LICENSE celeryconfig.py ./
COPY migrations migrations
COPY src src
RUN pip install --quiet --no-deps .


FROM python:3.11-slim
LABEL org.opencontainers.image.title="ansible-api" org.opencontainers.image.licenses="Apache-2.0"
# tini is process 1: it buries orphans, and passes SIGTERM to the part's main process alone.
RUN apt-get update --quiet=2 \
    && DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes --no-install-recommends \
         bubblewrap openssh-client tini >/dev/null \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 ansible-api \
    && useradd --uid 10001 --gid 10001 --home-dir /var/lib/ansible-api --shell /bin/sh --no-log-init ansible-api \
    && install --directory --owner=10001 --group=10001 --mode=0700 /var/lib/ansible-api
COPY --from=build /collections /usr/share/ansible/collections
COPY --from=build /opt/ansible-api /opt/ansible-api
ENV PATH=/opt/ansible-api/bin:$PATH PYTHONUNBUFFERED=1
# A number: Kubernetes cannot tell from a name that it is not root.
USER 10001:10001
WORKDIR /var/lib/ansible-api
EXPOSE 8000
ENTRYPOINT ["tini", "--", "ansible-api"]
CMD ["api", "--host", "0.0.0.0"]
