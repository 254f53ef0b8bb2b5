"""Runs DuckDB: one request per line on standard input, one reply per line on standard output, rows as Arrow files."""

import json
import sys
import threading

import duckdb
import pyarrow as pa

connection = duckdb.connect(config={"threads": 1})
connection.execute("SET TimeZone = 'UTC'")
# It would be mixed into the replies.
connection.execute("SET enable_progress_bar = false")


def load(request):
    with pa.OSFile(request["path"]) as file:
        rows = pa.ipc.open_file(file).read_all()
    connection.execute(f'CREATE OR REPLACE TABLE {request["load"]} AS SELECT * FROM rows')


def query(request):
    timer = threading.Timer(request["seconds"], connection.interrupt)
    timer.start()
    if not request["optimized"]:
        connection.execute("PRAGMA disable_optimizer")
    try:
        rows = connection.execute(request["query"]).to_arrow_table()
    finally:
        timer.cancel()
        connection.execute("PRAGMA enable_optimizer")
    with pa.ipc.new_file(request["path"], rows.schema) as file:
        file.write_table(rows)


for line in sys.stdin:
    request = json.loads(line)
    try:
        load(request) if "load" in request else query(request)
        reply = {}
    except Exception as error:
        reply = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(reply), flush=True)
