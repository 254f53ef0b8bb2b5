"""Shared code of the checks: counting, the binary, and Bergmill's tables as other engines see them.

A check prints one line and is counted; a failed one does not end the script, so that a run reports all failures.
"""

import datetime
import json
import os
import signal
import subprocess
import sys
import traceback
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import adbc_driver_flightsql.dbapi as flight_sql
import duckdb
from pyiceberg.catalog.sql import SqlCatalog

COMMAND_SECONDS = 240
SHOWN_DIFFERENCES = 5


class Checks:
    """Counts checks."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    @contextmanager
    def check(self, name):
        """A check, which fails if the block raises."""
        try:
            yield
        except Exception as error:
            self.failed += 1
            print(f"FAILED {name}")
            text = str(error) if isinstance(error, AssertionError) else crash(error)
            print("       " + text.strip().replace("\n", "\n       "))
        else:
            self.passed += 1
            print(f"ok     {name}")


def crash(error):
    """The error and the lines in these scripts that led to it, without the many calls inside of libraries."""
    ours = [f for f in traceback.extract_tb(error.__traceback__) if Path(f.filename).parent == Path(__file__).parent]
    return "".join(traceback.format_list(ours) + traceback.format_exception_only(error))


def main(body):
    """Runs `body(checks, folder)` for the folder of the command line, prints the counts, and exits."""
    # Without this, servers would outlive a script that is terminated.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    checks = Checks()
    with checks.check("the script completes"):
        body(checks, Path(sys.argv[1]).resolve())
    print(f"{checks.passed} passed, {checks.failed} failed")
    sys.exit(checks.failed > 0)


def equal(got, want, what="value"):
    assert got == want, f"{what}: got {got!r}, expected {want!r}"


def equal_rows(got, want):
    """The same rows, as dictionaries in the same order; reports which columns of which rows differ."""
    equal([row.keys() for row in got], [row.keys() for row in want], "columns")
    wrong = [
        f"{row}: column {column}: got {a[column]!r}, expected {b[column]!r}"
        for row, (a, b) in enumerate(zip(got, want, strict=True))
        for column in b
        if a[column] != b[column]
    ]
    assert not wrong, "rows differ\n" + "\n".join(wrong[:SHOWN_DIFFERENCES])


def contains(text, part):
    assert part in text, f"{part!r} is not in {text!r}"


# ---------------------------------------------------------------------------------------------------------------------
# The binary


def bergmill(*arguments, succeeds=True):
    """Runs the binary and waits for it."""
    done = subprocess.run(
        [os.environ["BERGMILL_BIN"], *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        stdin=subprocess.DEVNULL,
    )
    if succeeds is not None and (done.returncode == 0) != succeeds:
        command = " ".join(map(str, arguments))[:300]
        raise AssertionError(f"bergmill {command} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done


def sql(where, statement):
    """Rows of a statement as dictionaries. `where` is a data folder or the address of a front door."""
    target = ["--data", where] if isinstance(where, Path) else ["--connect", where]
    done = bergmill("sql", "--format", "ndjson", "-e", statement, *target)
    return [json.loads(line, parse_float=Decimal) for line in done.stdout.splitlines()]


@contextmanager
def serving(folder):
    """A cluster over `folder` that runs during the block; yields the address of its front door."""
    with running(folder, "serve", "--data", folder, "--listen", "127.0.0.1:0") as door:
        yield door


@contextmanager
def running(folder, *arguments, door="front door "):
    """A server that runs during the block, and logs to `folder`; yields the address of its front door, which it prints
    after `door`."""
    command, log_file = [os.environ["BERGMILL_BIN"], *map(str, arguments)], folder / "serve.log"
    with open(log_file, "w") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, stdin=subprocess.DEVNULL, text=True)
    try:
        for line in process.stdout:
            if line.startswith(door):
                yield line.removeprefix(door).strip()
                break
        else:
            raise AssertionError(f"{arguments[0]} ended with {process.wait()}: {log_file.read_text()}")
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# ---------------------------------------------------------------------------------------------------------------------
# The tables, without the binary


def catalog(folder):
    return SqlCatalog("bergmill", uri=f"sqlite:///{folder}/catalog.db", warehouse=f"file://{folder}/warehouse")


def live_files(table):
    """Paths of the data files of the current snapshot."""
    tasks = list(table.scan().plan_files())
    assert not any(task.delete_files for task in tasks), f"{table.name()} has delete files"
    return [local_path(task.file.file_path) for task in tasks]


def local_path(uri):
    # Iceberg's writers use the location verbatim: a percent sign in it is a percent sign in the file's name.
    return uri.removeprefix("file://")


class Tables:
    """Iceberg tables as views in DuckDB, over exactly the Parquet files that PyIceberg lists as live."""

    def __init__(self, folder):
        self.catalog = catalog(folder)
        self.duck = duckdb.connect(":memory:")
        self.duck.execute("SET TimeZone = 'UTC'")

    def view(self, name):
        """Creates a view `namespace_table` and returns its name; None if the table has no file."""
        files = live_files(self.catalog.load_table(name))
        if not files:
            return None
        view = name.replace(".", "_")
        # Folder names repeat partition values; only the content of the files counts.
        self.duck.read_parquet(files, hive_partitioning=False).create_view(view, replace=True)
        return view

    def summaries(self, name):
        """The summary of each snapshot, as a dictionary."""
        return [snapshot.summary.additional_properties for snapshot in self.catalog.load_table(name).metadata.snapshots]

    def columns(self, relation):
        """Names and types."""
        return [row[:2] for row in self.duck.execute(f"DESCRIBE {relation}").fetchall()]

    def rows(self, relation):
        """All rows. Instants are microseconds since 1970, so that time zones do not matter."""
        columns = ", ".join(
            f'epoch_us("{name}")' if kind == "TIMESTAMP WITH TIME ZONE" else f'"{name}"'
            for name, kind in self.columns(relation)
        )
        return self.duck.execute(f"SELECT {columns} FROM {relation}").fetchall()


def same_rows(got, want, key):
    """Rows in any order, identified by the first `key` columns. Only doubles may differ, by rounding."""

    def by_key(rows, which):
        found = {row[:key]: row for row in rows}
        assert len(found) == len(rows), f"{which}: {len(rows) - len(found)} rows have the key of another"
        return found

    got, want = by_key(got, "got"), by_key(want, "expected")
    wrong = [f"missing {want[k]}" for k in want.keys() - got.keys()]
    wrong += [f"too much {got[k]}" for k in got.keys() - want.keys()]
    wrong += [
        f"got {got[k]}, expected {want[k]}"
        for k in got.keys() & want.keys()
        if len(got[k]) != len(want[k]) or not all(map(same_value, got[k], want[k]))
    ]
    shown = "\n".join(sorted(wrong)[:SHOWN_DIFFERENCES])
    assert not wrong, f"{len(wrong)} rows differ of {len(want)} expected and {len(got)} found:\n{shown}"


def same_value(a, b):
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= 1e-9 * max(abs(a), abs(b))
    return type(a) is type(b) and a == b


DAY_MICROS = 86_400_000_000


def micros(date):
    """The start of a UTC day, in microseconds since 1970."""
    return (date - datetime.date(1970, 1, 1)).days * DAY_MICROS


def arrow(door, statement):
    """The result of a query at a front door, with the types that the driver sees."""
    with flight_sql.connect(f"grpc://{door}", autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetch_arrow_table()
