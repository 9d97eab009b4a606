#!/bin/bash
# Boots this machine's own systemd as PID 1 of a container and runs tests/systemd in it: the units as they are delivered,
# an installation as the documentation makes it. The container sees this machine's files, writes to memory alone, has no
# network but its own loopback, and starts none of this machine's services. Arguments go to pytest.
set -eu -o pipefail
cd "$(dirname "$0")/../.."
PATH=$PATH:/usr/sbin:/sbin
venv=${VENV:-.venv}
name=outbox-test-$$
folder=
container=

finish() {
  local status=$?
  trap - EXIT
  if [ -n "$container" ] && kill "$container" 2>/dev/null; then
    # asked to stop it shuts the services down; whatever hangs goes with its PID 1
    for _ in $(seq 100); do kill -0 "$container" 2>/dev/null || break; sleep 0.1; done
    kill -KILL "${leader:-$container}" 2>/dev/null || true
    wait "$container" 2>/dev/null || true
  fi
  rmdir "/run/systemd/nspawn/propagate/$name" 2>/dev/null || true
  [ -z "$folder" ] || rm -rf --one-file-system "$folder"
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

skip() {
  echo "test-systemd: skipped: $1"
  exit 0
}

in_container() { # ARGUMENTS OF systemd-nspawn: on a copy of this machine's files that is written to memory
  # systemd-nspawn refuses to boot from /, but not from another name of it
  exec unshare --mount --propagation private bash -c \
    'mount --bind / "$0" && shift && exec systemd-nspawn --quiet --directory="$0" "$@"' "$folder/root" -- \
    --machine="$name" --volatile=overlay --private-network --register=no --keep-unit --link-journal=no "$@"
}

[ "$(id -u)" = 0 ] || skip "only root can boot a systemd"
command -v systemd-nspawn >/dev/null || skip "there is no systemd-nspawn (Debian: apt-get install systemd-container)"
[ -x /lib/systemd/systemd ] || skip "there is no systemd on this machine"
/usr/bin/python3 -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
  || skip "the installation needs /usr/bin/python3, 3.11 or newer, with venv (Debian: apt-get install python3-venv)"
folder=$(mktemp -d)
mkdir "$folder"/{root,installed,units,etc,wheel}
said=$(in_container --pipe /bin/true 2>&1 </dev/null) || skip "no container can be run here: $(tail -n 1 <<<"$said")"

echo "Installing into /opt/booking-outbox of the container …"
"$venv/bin/python" -m pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir "$folder/wheel" . \
  2>&1 | sed '/^WARNING: Location .* is ignored/d'
# Scripts name the folder that they were installed to, so that is what the folder is called, here and for nobody else.
unshare --mount --propagation private bash -eu -o pipefail -c '
  mount -t tmpfs tmpfs /opt
  mkdir /opt/booking-outbox
  mount --bind "$0/installed" /opt/booking-outbox
  umask 022
  /usr/bin/python3 -m venv /opt/booking-outbox/.venv
  pip=(/opt/booking-outbox/.venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps)
  "${pip[@]}" --require-hashes -r requirements.lock 2>&1 | sed "/^WARNING: Location .* is ignored/d"
  "${pip[@]}" "$0"/wheel/*.whl 2>&1 | sed "/^WARNING: Location .* is ignored/d"
' "$folder"
mkdir "$folder/installed/deploy"
cp -R deploy/systemd "$folder/installed/deploy/systemd"
chmod -R go+rX "$folder/installed"

cat >"$folder/units/$name.target" <<'END'
[Unit]
Description=The tests of booking-outbox
Wants=sysinit.target basic.target
END
in_container --boot --console=pipe \
  --bind-ro="$folder/installed:/opt/booking-outbox" \
  --bind="$folder/units:/etc/systemd/system" --bind="$folder/etc:/etc/booking-outbox" \
  --bind-ro=/dev/null:/etc/fstab --tmpfs=/var/log \
  systemd.unit="$name.target" </dev/null >"$folder/log" 2>&1 &
container=$!
leader=
for _ in $(seq 300); do
  kill -0 "$container" 2>/dev/null || break
  leader=$(tr -d ' ' <"/proc/$container/task/$container/children" 2>/dev/null) || leader=
  if [ -n "$leader" ] && state=$(nsenter --target "$leader" --all -- systemctl is-system-running 2>/dev/null) \
    || [ "${state:-}" = degraded ]; then break; fi
  sleep 0.2
done
case ${state:-} in
  running | degraded) ;;
  *) tail -n 20 "$folder/log" >&2; echo "test-systemd: systemd did not boot (${state:-no answer})" >&2; exit 1 ;;
esac
nsenter --target "$leader" --all -- systemctl --version | head -n 1

# The tests, their Postgres and their PMS share the container's network, and nothing else with it.
export OUTBOX_TEST_SYSTEMD=$leader OUTBOX_TEST_SYSTEMD_FOLDER=$folder
unset TEST_DATABASE_URL OUTBOX_TEST_DOCKER
timeout --kill-after=30 900 nsenter --target "$leader" --net -- "$venv/bin/python" -m pytest tests/systemd -p no:cacheprovider "$@"
