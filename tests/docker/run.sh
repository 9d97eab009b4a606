#!/bin/bash
# Runs the tests against a Postgres container, through testcontainers. Uses the Docker engine that answers, else starts
# one of its own (root only) in a network namespace of its own and stops it again. Arguments go to pytest.
set -eu -o pipefail
cd "$(dirname "$0")/../.."
PATH=$PATH:/usr/sbin:/sbin # where the engine and its tools are, and where few people's PATH leads
venv=${VENV:-.venv}
image=${OUTBOX_TEST_IMAGE:-postgres:16-alpine}
folder=$(mktemp -d)
engine=

finish() {
  local status=$?
  trap - EXIT
  if [ -n "$engine" ] && kill "$engine" 2>/dev/null; then wait "$engine" 2>/dev/null || true; fi
  rm -rf "$folder" || true
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

missing() {
  echo "$1" >&2
  echo "make test-docker needs a running Docker engine, or root and: apt-get install docker.io iptables busybox-static" >&2
  exit 2
}

command -v docker >/dev/null || missing "there is no docker command here"
inside=()
if docker info >/dev/null 2>&1; then
  echo "Docker engine: the one that answers here"
else
  [ "$(id -u)" = 0 ] || missing "no Docker engine answers, and only root can start one"
  command -v dockerd >/dev/null || missing "no Docker engine answers, and dockerd is not installed"
  # In a network namespace of its own the engine's bridge and its rules never touch this machine's network.
  unshare --net --mount --propagation private bash -c 'ip link set lo up; exec dockerd "$@"' dockerd \
    --data-root "$folder/data" --exec-root "$folder/exec" --pidfile "$folder/pid" --host "unix://$folder/socket" \
    >"$folder/log" 2>&1 &
  engine=$!
  export DOCKER_HOST=unix://$folder/socket
  for _ in $(seq 150); do
    docker info >/dev/null 2>&1 && break
    kill -0 "$engine" 2>/dev/null || { tail -n 5 "$folder/log" >&2; missing "dockerd ended at once"; }
    sleep 0.2
  done
  docker info >/dev/null || { tail -n 5 "$folder/log" >&2; exit 1; }
  inside=(nsenter --target "$engine" --net --)
  echo "Docker engine: one of our own, until the tests end"
fi

if ! docker image inspect "$image" >/dev/null 2>&1 && ! docker pull --quiet "$image" 2>/dev/null; then
  echo "$image is neither on this machine nor to be had from a registry"
  [ -z "${OUTBOX_TEST_IMAGE:-}" ] || exit 1
  image=local/postgres:16
  docker image inspect "$image" >/dev/null 2>&1 || tests/docker/image.sh "$image" "$venv/bin/python"
  echo "Using a stand-in that was built here instead: $image. The official image is NOT what is tested."
fi

# Ryuk is an image too; docker_host keeps testcontainers from guessing that it runs in a container itself.
export OUTBOX_TEST_DOCKER=1 OUTBOX_TEST_IMAGE=$image TESTCONTAINERS_RYUK_DISABLED=true TESTCONTAINERS_CONNECTION_MODE=docker_host
unset TEST_DATABASE_URL OUTBOX_TEST_POSTGRES_BIN
echo "Image: $image"
"${inside[@]}" "$venv/bin/python" -m pytest -n auto --dist worksteal "$@"
