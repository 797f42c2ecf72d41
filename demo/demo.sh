#!/bin/sh
# A guided tour: a throw-away PostgreSQL, a shop in it, and sluice that keeps Delta tables equal to it, whatever happens.
#
# usage: demo/demo.sh      (make demo builds first; SLUICE_BIN names another program)
#
# Everything happens in one temporary folder, with a server on a free port of 127.0.0.1, and is gone afterwards.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
sluice=${SLUICE_BIN:-$here/../build/sluice}
[ -x "$sluice" ] || { echo "demo: $sluice is not built; run make first"; exit 2; }

if [ -t 1 ]; then
    bold=$(printf '\033[1m') dim=$(printf '\033[2m') green=$(printf '\033[32m') red=$(printf '\033[31m')
    cyan=$(printf '\033[36m') off=$(printf '\033[0m')
else
    bold='' dim='' green='' red='' cyan='' off=''
fi

tmp=$(mktemp -d /tmp/sluice-demo.XXXXXX)
chmod 755 "$tmp"
lake=$tmp/lake
log=$tmp/sync.log
sync_pid='' load_pid='' as=''

# PostgreSQL does not run as root.
if [ "$(id -u)" = 0 ]; then
    as="setpriv --reuid=$(id -u postgres) --regid=$(id -g postgres) --clear-groups"
    mkdir "$tmp/pg" && chown postgres "$tmp/pg"
else
    mkdir "$tmp/pg"
fi
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1)
[ -n "$bin" ] || bin=$(dirname "$(command -v initdb)")

cleanup() {
    rc=$?
    trap - EXIT
    for pid in $load_pid $sync_pid; do kill -9 "$pid" 2>/dev/null || true; done
    (cd / && $as "$bin/pg_ctl" -D "$tmp/pg/data" -m immediate stop >/dev/null 2>&1) || true
    [ $rc = 0 ] || { echo "${red}The demo ended early ($rc). The last lines of sluice:${off}"; tail -15 "$log" 2>/dev/null; }
    rm -rf "$tmp"
    exit $rc
}
trap cleanup EXIT
trap 'exit 130' INT TERM

chapter=0
chapter() {
    chapter=$((chapter + 1))
    printf '\n%s%d. %s%s\n' "$bold" "$chapter" "$1" "$off"
}
say() { printf '   %s\n' "$*"; }
good() { printf '   %s✔ %s%s\n' "$green" "$*" "$off"; }
show() { printf '   %s$ %s%s\n' "$cyan" "$*" "$off"; }
indent() { sed 's/^/   /'; }
sql() { psql -X -q -v ON_ERROR_STOP=1 -d "$url" "$@"; }
value() { sql -At -c "$1"; }
now() { date +%s%N; }
since() { echo "$((($(now) - $1) / 1000000)) ms"; }
lake_sql() { show "sluice sql lake -c \"$1\""; "$sluice" sql "$lake" -c "$1" | indent; }
lake_value() { "$sluice" sql "$lake" --format csv -c "$1" 2>/dev/null | tail -n +2; }
start_sync() { "$sluice" sync "$url" "$lake" >>"$log" 2>&1 & sync_pid=$!; }

wait_for() { # what wanted query: until the lake answers the query with what is wanted
    i=0
    until [ "$(lake_value "$3")" = "$2" ]; do
        kill -0 "$sync_pid" 2>/dev/null || { echo "   sluice ended while waiting for $1"; exit 1; }
        i=$((i + 1))
        [ $i -lt 600 ] || { echo "   $1 did not arrive"; exit 1; }
        sleep 0.05
    done
}

chapter "A shop in a throw-away PostgreSQL"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
url=postgresql://postgres@127.0.0.1:$port/postgres
(cd / && $as "$bin/initdb" -D "$tmp/pg/data" -U postgres --auth=trust -E UTF8 --locale=C.UTF-8 -N >/dev/null)
(cd / && $as "$bin/pg_ctl" -D "$tmp/pg/data" -l "$tmp/pg/log" -w \
    -o "-p $port -c listen_addresses=127.0.0.1 -c unix_socket_directories=$tmp/pg -c wal_level=logical -c timezone=UTC" \
    start >/dev/null)
sql -f "$here/shop.sql"
say "$(value 'SELECT count(*) FROM customers') customers, $(value 'SELECT count(*) FROM orders') orders," \
    "$(value 'SELECT count(*) FROM order_items') order lines. The one setting it needs is wal_level=logical."

chapter "One command keeps Delta tables equal to it"
show "sluice sync $url lake &"
began=$(now)
start_sync
items=$(value 'SELECT count(*) FROM order_items')
wait_for "the copy" "$items" "SELECT count(*) FROM order_items"
wait_for "the copy" 40000 "SELECT count(*) FROM orders"
good "all four tables are there, $(since "$began") after the command was given"
lake_sql "SELECT c.city, count(*) AS orders, sum(i.quantity * i.price) AS revenue FROM orders o JOIN customers c ON c.id = o.customer JOIN order_items i ON i.order_id = o.id GROUP BY ALL ORDER BY revenue DESC LIMIT 4"

chapter "A change is in the lake as soon as it is committed"
sql -c "INSERT INTO orders (id, customer, placed) VALUES (1000000, 42, now())"
began=$(now)
wait_for "the order" 1 "SELECT count(*) FROM orders WHERE id = 1000000"
good "the new order could be queried $(since "$began") after its commit"
sql -c "UPDATE orders SET status = 'paid' WHERE id = 1000000" -c "DELETE FROM order_items WHERE order_id = 1" \
    -c "UPDATE products SET price = price * 1.1 WHERE sku < 'SKU-0100'"
wait_for "the update" paid "SELECT status FROM orders WHERE id = 1000000"
lake_sql "SELECT id, customer, status FROM orders WHERE id = 1000000"

chapter "kill -9 in the middle of a load"
i=0
while [ $i -lt 60 ]; do
    echo "BEGIN; INSERT INTO orders (id, customer, placed) SELECT 2000000 + g, 1 + g % 5000, now()
          FROM generate_series($((i * 500 + 1)), $(((i + 1) * 500))) g;
          UPDATE orders SET status = 'shipped' WHERE id BETWEEN $((i * 300)) AND $((i * 300 + 299)); COMMIT;
          SELECT pg_sleep(0.03);"
    i=$((i + 1))
done >"$tmp/load.sql"
sql -o /dev/null -f "$tmp/load.sql" &
load_pid=$!
say "60 transactions are coming in, 800 changes each …"
sleep 0.9
kill -9 "$sync_pid"
wait "$sync_pid" 2>/dev/null || true
say "${red}sluice was killed (-9)${off} while $(value "SELECT count(*) FROM orders WHERE id > 2000000") of 30000 new orders were committed;" \
    "the lake holds $(lake_value 'SELECT count(*) FROM orders WHERE id > 2000000')."
wait "$load_pid"
load_pid=''
say "The shop went on without it. Now it is started again, with the same command:"
show "sluice sync $url lake &"
began=$(now)
start_sync
wait_for "the load" 30000 "SELECT count(*) FROM orders WHERE id > 2000000"
wait_for "the updates" "$(value "SELECT count(*) FROM orders WHERE status = 'shipped'")" \
    "SELECT count(*) FROM orders WHERE status = 'shipped'"
good "caught up in $(since "$began"): 30000 orders, none lost, none twice"

chapter "The schema changes while it runs"
version=$("$sluice" sql "$lake" --format csv -c "SELECT max(version) FROM (DESCRIBE HISTORY customers)" 2>/dev/null | tail -1)
show "ALTER TABLE customers ADD COLUMN loyalty integer; ALTER TABLE customers RENAME COLUMN city TO town;"
sql -c "ALTER TABLE customers ADD COLUMN loyalty integer" -c "ALTER TABLE customers RENAME COLUMN city TO town" \
    -c "UPDATE customers SET loyalty = id * 10 WHERE id <= 3"
wait_for "the new columns" 60 "SELECT sum(loyalty) FROM customers"
lake_sql "SELECT id, name, town, loyalty FROM customers ORDER BY id LIMIT 4"
say "The version before it is still there, with its own columns:"
case $version in '' | *[!0-9]*) version=0 ;; esac
lake_sql "SELECT id, name, city FROM customers AT (VERSION => $version) ORDER BY id LIMIT 2"

chapter "Is it really the same? Ask both sides, at one position"
show "sluice verify $url lake"
"$sluice" verify "$url" "$lake" | indent
good "source and lake are equal"

chapter "What is in the lake"
show "sluice status lake"
"$sluice" status "$lake" | indent
kill -TERM "$sync_pid"
wait "$sync_pid" && good "asked to stop, sluice wrote what it had and ended with 0"
sync_pid=''
say "${dim}The lake is plain Delta: any reader of Delta tables opens it. Server and lake are removed now.${off}"
