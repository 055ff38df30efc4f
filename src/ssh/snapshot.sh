# shellcheck shell=sh
# Sends a snapshot of the store at $db, which is set above, by whoever feeds this
# to the shell of a machine that has the store.
set -u
db=${db:?}

refuse() {
  echo "✗ $1 [$2]" >&2
  echo "  $3" >&2
  exit 4
}

# A shell that is not a login shell may not look where people install things.
for ops in heph-ops "$HOME/.local/bin/heph-ops" "$HOME/.cargo/bin/heph-ops" \
  /usr/local/bin/heph-ops /opt/homebrew/bin/heph-ops; do
  if command -v "$ops" >/dev/null 2>&1; then
    exec "$ops" snapshot --stdout --db "$db"
  fi
done

# Without our programs: sqlite3 copies within a read transaction, and digests
# source and copy itself.
command -v sqlite3 >/dev/null 2>&1 ||
  refuse "there is neither heph-ops nor sqlite3 on that machine" source_unreachable \
    "install one of them there, or: heph-ops snapshot --stdout | ssh HUB heph-ops seed --from -"
[ -f "$db" ] ||
  refuse "there is no store at $db" source_not_found "look for the device's heph.db"
umask 077
tmp=$(mktemp -d "${TMPDIR:-/tmp}/heph-snapshot.XXXXXX") || exit 4
trap 'rm -rf "$tmp"' EXIT
trap 'exit 4' HUP INT TERM PIPE

sqlite() {
  sqlite3 -batch -bail -init /dev/null -readonly "$@" 2>"$tmp/said"
}

case $db in
  /*) ;;
  *) db=./$db ;;
esac
sqlite "$db" >"$tmp/source" <<SQL
.timeout 5000
BEGIN;
SELECT count(*) FROM sqlite_master;
.sha3sum
.backup main $tmp/copy
SQL
ended=$?
said=$(head -n 1 "$tmp/said")
if [ "$ended" -ne 0 ] || [ -n "$said" ]; then
  refuse "sqlite3 on that machine cannot copy $db: ${said:-it said nothing}" store_corrupt \
    "install heph-ops there, or stop the daemon there first"
fi
sqlite "$tmp/copy" .sha3sum >"$tmp/there" || exit 4
if [ ! -s "$tmp/there" ] || [ "$(tail -n 1 "$tmp/source")" != "$(tail -n 1 "$tmp/there")" ]; then
  refuse "the copy of $db is not equal to it" store_corrupt "run it again"
fi

if command -v sha256sum >/dev/null 2>&1; then
  digest=$(sha256sum <"$tmp/copy")
else
  digest=$(shasum -a 256 <"$tmp/copy")
fi
bytes=$(wc -c <"$tmp/copy")
printf 'heph-snapshot 1\n{"bytes":%d,"owner":null,"origin":null}\n' "$bytes"
cat "$tmp/copy"
printf '{"sha256":"%s","proof":null}\n' "${digest%% *}"
