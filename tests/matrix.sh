#!/bin/bash
# Every test on each Python with each Postgres, or with MATRIX_ONCE=1 in as few runs as meet each of them, then on the first Python the query plans with each Postgres, every test
# through PgBouncer, and the rules taken out one by one. One folder .venv-VERSION per Python. What this machine lacks is skipped and said. Ends with 1 if any
# combination failed, after all of them have run.
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 2
pythons=${MATRIX_PYTHONS:-3.11 3.13}
postgres_15=/usr/lib/postgresql/15/bin
failed=()

interpreter() { # VERSION: the path of a Python that really is that version
  local candidate
  for candidate in "$(command -v "python$1" || true)" "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/"$1".*/bin/python; do
    [ -x "$candidate" ] || continue
    # A pyenv shim may stand for another version, or for none: ask it, and take the program behind it.
    "$candidate" -c "import sys, venv; '%d.%d' % sys.version_info[:2] == '$1' or sys.exit(1); print(sys.executable)" \
      2>/dev/null && return
  done
  return 1
}

run() { # LABEL, environment setting, VENV, target
  echo "=== $1"
  env -u TEST_DATABASE_URL -u OUTBOX_TEST_DOCKER -u OUTBOX_TEST_POOLER "$2" make "${4:-test}" VENV="$3" || failed+=("$1")
}

declare -A path
found=()
for version in $pythons; do
  if path[$version]=$(interpreter "$version"); then
    found+=("$version")
  else
    echo "=== Python $version: skipped, no such interpreter on PATH or in pyenv"
  fi
done
servers=(embedded)
[ -x "$postgres_15/postgres" ] && servers+=("15") || echo "=== Postgres 15: skipped, no server in $postgres_15"

wanted() { # VERSION, SERVER: with MATRIX_ONCE the first Python meets the first Postgres, each later one the last
  [ -z "${MATRIX_ONCE:-}" ] || [ ${#found[@]} = 1 ] || [ ${#servers[@]} = 1 ] && return
  if [ "$1" = "${found[0]}" ]; then [ "$2" = embedded ]; else [ "$2" = 15 ]; fi
}

first=
for version in "${found[@]}"; do
  venv=.venv-$version
  make setup VENV="$venv" PYTHON="${path[$version]}" || { failed+=("Python $version: setup"); continue; }
  first=${first:-$venv}
  for server in "${servers[@]}"; do
    label="Python $version, Postgres: $server"
    if [ "${MATRIX_TESTED:-}" = "$version $server" ]; then
      echo "=== $label: skipped, tested just before (MATRIX_TESTED)"
    elif ! wanted "$version" "$server"; then
      echo "=== $label: skipped, both are met by others (MATRIX_ONCE)"
    elif [ "$server" = 15 ]; then
      run "$label" OUTBOX_TEST_POSTGRES_BIN="$postgres_15" "$venv"
    else
      run "$label" OUTBOX_TEST_POSTGRES_BIN= "$venv"
    fi
  done
done

if [ -n "$first" ]; then
  run "Query plans, embedded Postgres" OUTBOX_TEST_POSTGRES_BIN= "$first" test-plans
  if [ -x "$postgres_15/postgres" ]; then
    run "Query plans, Postgres 15 of this machine" OUTBOX_TEST_POSTGRES_BIN="$postgres_15" "$first" test-plans
  fi
  run "Through PgBouncer, embedded Postgres" OUTBOX_TEST_POSTGRES_BIN= "$first" test-pooler
  run "Each rule taken out, embedded Postgres" OUTBOX_TEST_POSTGRES_BIN= "$first" mutants
fi

[ ${#failed[@]} = 0 ] || printf '=== failed: %s\n' "${failed[@]}" >&2
exit $((${#failed[@]} > 0))
