"""Compares the cluster with DuckDB on the same files: time and CPU seconds of each query, and their ratios.

    against_duckdb.py --data FOLDER [OPTIONS] QUERY.sql...

Starts `$BERGMILL_BIN serve` over the folder, and queries it as any client does. DuckDB reads the data files of the
current snapshots as Parquet. Each query is run on both once to compare the results, without its last LIMIT, because a
LIMIT may choose any of the rows that are equal in the sort columns. Then it is timed on both in turn; the median of CPU
seconds, and its time, are reported. The exit code is 1 if a result differs or a query fails.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import adbc_driver_flightsql.dbapi as flight_sql
import duckdb

# Where DuckDB interprets the same SQL differently: the order of nulls, and integer division.
SETTINGS = [
    "SET TimeZone = 'UTC'",
    "SET default_null_order = 'nulls_last_on_asc_first_on_desc'",
    "SET integer_division = true",
]
LAST_LIMIT = re.compile(r"\blimit\s+\d+\s*;?\s*$", re.IGNORECASE)
DIGITS = 6
BINARY = os.environ.get("BERGMILL_BIN", "bergmill")
TICKS = os.sysconf("SC_CLK_TCK")


class Cluster:
    """A cluster in one process."""

    def __init__(self, folder, arguments):
        command = [BINARY, "serve", "--data", folder, "--listen", "127.0.0.1:0", *arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
        door = next((line.split()[-1] for line in self.process.stdout if line.startswith("front door ")), None)
        if door is None:
            sys.exit(f"serve ended with {self.process.wait()}")
        self.door = door
        self.connection = flight_sql.connect(f"grpc://{door}", autocommit=True)

    def load(self, files):
        """Loads Parquet files into tables of their names, unless these exist."""
        known = self.tables()
        for file in sorted(files):
            if file.stem not in known:
                command = [BINARY, "load", "--connect", self.door, "--into", f"raw.{file.stem}", str(file)]
                subprocess.run(command, check=True, stdin=subprocess.DEVNULL)

    def tables(self):
        where = "table_schema = 'raw' AND table_name NOT LIKE '%$%'"
        sql = f"SELECT table_name FROM information_schema.tables WHERE {where}"
        return self.rows(sql)["table_name"].to_pylist()

    def rows(self, sql):
        with self.connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetch_arrow_table()

    def cpu(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def peak(self):
        """The peak of resident memory in MiB since the last call."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")
        return int(re.search(r"VmHWM:\s+(\d+)", status).group(1)) // 1024

    def stop(self):
        self.connection.close()
        self.process.terminate()
        self.process.wait(30)


class Duck:
    """DuckDB in this process, with views over the cluster's files."""

    def __init__(self, cluster, threads):
        self.connection = duckdb.connect(":memory:")
        for setting in [*SETTINGS, f"SET threads = {threads}"]:
            self.connection.execute(setting)
        for table in cluster.tables():
            files = cluster.rows(f'SELECT file_path FROM "{table}$files"')["file_path"].to_pylist()
            paths = ", ".join("'" + path.removeprefix("file://") + "'" for path in files)
            self.connection.execute(f'CREATE VIEW "{table}" AS FROM read_parquet([{paths}])')

    def rows(self, sql):
        return self.connection.sql(sql).to_arrow_table()

    def cpu(self):
        return time.process_time()


def measured(engine, sql):
    cpu, started = engine.cpu(), time.monotonic()
    engine.rows(sql)
    return engine.cpu() - cpu, time.monotonic() - started


def values(table):
    """Rows as sorted text; numbers by value, because the engines have other types for some results."""

    def text(value):
        if isinstance(value, (float, Decimal)):
            return "NULL" if value != value else f"{float(value):.{DIGITS}g}"
        if isinstance(value, int) and not isinstance(value, bool):
            return f"{float(value):.{DIGITS}g}"
        return str(value)

    return sorted("\t".join(map(text, row)) for row in zip(*(column.to_pylist() for column in table.columns)))


def difference(ours, theirs):
    """What differs, or None."""
    ours, theirs = values(ours), values(theirs)
    if len(ours) != len(theirs):
        return f"{len(ours)} rows, DuckDB has {len(theirs)}"
    wrong = [(a, b) for a, b in zip(ours, theirs) if a != b and not is_close(a, b)]
    return f"{wrong[0][0]!r}, DuckDB has {wrong[0][1]!r}" if wrong else None


def is_close(a, b):
    """Whether rows are equal but for the last digits of sums and quotients."""

    def close(x, y):
        try:
            return x == y or abs(float(x) - float(y)) <= 1e-4 * max(1.0, abs(float(x)))
        except ValueError:
            return False

    a, b = a.split("\t"), b.split("\t")
    return len(a) == len(b) and all(map(close, a, b))


def row(name, figures):
    cpu, duck_cpu = figures["cpu"], figures["duckdb_cpu"]
    times = f"{figures['seconds']:8.2f} {figures['duckdb_seconds']:8.2f}"
    return f"{name:24} {cpu:8.2f} {duck_cpu:8.2f} {cpu / max(duck_cpu, 0.001):7.2f} {times}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True, help="folder of the installation")
    parser.add_argument("--tables", type=Path, help="folder of Parquet files to load first, each into a table")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of each engine")
    parser.add_argument("--serve", default="", help="arguments of serve, instead of one executor")
    parser.add_argument("--repeat", type=int, default=1, help="timed runs of a query")
    parser.add_argument("--only", default="", help="names of queries, separated by commas")
    parser.add_argument("--json", help="file for the figures, one object a line")
    parser.add_argument("queries", nargs="+", type=Path)
    options = parser.parse_args()
    arguments = options.serve.split() or ["--executors", "1", "--vcores", str(options.threads)]
    only = set(filter(None, options.only.split(",")))
    cluster = Cluster(options.data, arguments)
    lines, failed = [], False
    try:
        if options.tables:
            cluster.load(options.tables.glob("*.parquet"))
        duck = Duck(cluster, options.threads)
        print(f"{'query':24} {'cpu s':>8} {'DuckDB':>8} {'ratio':>7} {'time s':>8} {'DuckDB':>8} {'peak MiB':>9}")
        for path in sorted(options.queries):
            name = path.stem
            if only and name not in only:
                continue
            sql = path.read_text().strip().rstrip(";")
            try:
                whole = LAST_LIMIT.sub("", sql)
                wrong = difference(cluster.rows(whole), duck.rows(whole))
                cluster.peak()
                runs = [(measured(cluster, sql), measured(duck, sql)) for _ in range(options.repeat)]
            except Exception as error:
                wrong, runs = str(error).splitlines()[0], []
            if wrong:
                print(f"{name:24} FAILED: {wrong}", flush=True)
                failed = True
                continue
            (cpu, seconds), (duck_cpu, duck_seconds) = [
                [statistics.median(run[engine][what] for run in runs) for what in (0, 1)] for engine in (0, 1)
            ]
            figures = dict(cpu=cpu, duckdb_cpu=duck_cpu, seconds=seconds, duckdb_seconds=duck_seconds)
            lines.append(dict(query=name, **figures, peak_mib=cluster.peak()))
            print(row(name, figures), f"{lines[-1]['peak_mib']:9}", flush=True)
    finally:
        cluster.stop()
    keys = ["cpu", "duckdb_cpu", "seconds", "duckdb_seconds"]
    print(row(f"sum of {len(lines)}", {key: sum(line[key] for line in lines) for key in keys}))
    if options.json:
        Path(options.json).write_text("".join(json.dumps(line) + "\n" for line in lines))
    sys.exit(failed)


if __name__ == "__main__":
    main()
