#!/bin/bash
# Every test through PgBouncer in transaction mode: once with a direct connection for LISTEN, once without LISTEN at all.
# Arguments go to pytest. Skipped, and said, where PgBouncer is not installed.
set -u -o pipefail
cd "$(dirname "$0")/../.." || exit 2
venv=${VENV:-.venv}
failed=()

if ! "$venv/bin/python" -c 'import sys; from tests.pooler.pgbouncer import program; sys.exit(program() is None)'; then
  echo "=== PgBouncer: skipped, it is not installed (Debian: apt-get install pgbouncer)"
  exit 0
fi
for pooling in listen deaf; do
  echo "=== PgBouncer, OUTBOX_TEST_POOLER=$pooling"
  OUTBOX_TEST_POOLER=$pooling "$venv/bin/python" -m pytest -n auto --dist worksteal "$@" || failed+=("PgBouncer, $pooling")
done

[ ${#failed[@]} = 0 ] || printf '=== failed: %s\n' "${failed[@]}" >&2
exit $((${#failed[@]} > 0))
