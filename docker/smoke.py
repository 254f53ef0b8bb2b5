"""The checks of docker/smoke.sh, which starts the cluster with four executors and removes it.

    smoke.py EVENTS     rows of raw.shopping_events
"""

import datetime
import json
import os
import shlex
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/interop"))

import adbc_driver_flightsql.dbapi as flight_sql
import duckdb
import pyarrow as pa
import pyarrow.csv
from adbc_driver_flightsql import DatabaseOptions

import daily_analytics
from check_daily_analytics import DAILY_REPORT, DAY
from harness import Tables, equal, main, same_rows

CSV = ROOT / "jobs/pipelines/daily_report/ecommerce_logs.csv"
# How long a query should run, so that something can happen while it does.
LONG_SECONDS = 6


def body(checks, events):
    door = Door(checks)
    with checks.check("every published port is on loopback"):
        bindings = [b for c in containers() for p in inspect(c)["NetworkSettings"]["Ports"].values() for b in p or []]
        assert bindings, "no port is published"
        equal({b["HostIp"] for b in bindings}, {"127.0.0.1"}, "addresses")
    with checks.check("scheduler and executors become healthy, as an unprivileged user"):
        for container in containers("scheduler") + containers("executor"):
            eventually(60, lambda: equal(inspect(container)["State"]["Health"]["Status"], "healthy", container))
            equal(inspect(container)["Config"]["User"], "10001:10001", "user")
    with checks.check("no secret is in a container's description"):
        secrets = [line.split("=", 1)[1] for line in in_scheduler("cat", *SECRETS).split() if "=bergmill" not in line]
        equal(len(secrets), 2, "secrets")
        secrets.append(door.password)
        described = json.dumps([inspect(c) for c in containers()])
        assert not any(secret in described for secret in secrets), "a secret is shown by docker inspect"
    strangers(checks)
    with checks.check("task slots and memory follow from the container's limits"):
        for container in containers("executor"):
            host = inspect(container)["HostConfig"]
            slots, memory = max(host["NanoCpus"] // 10**9, 1), host["Memory"] // 2 // 2**20
            log = run("docker", "logs", container)
            assert f"{slots} vcores, {memory} MiB for tasks" in log, f"expected {slots} and {memory}: {log}"

    with checks.check("a shop is generated into the cluster, and its pipelines run"):
        door.bergmill("demo", "--events", str(events), "--reviews", "20000")
    with door.connect() as connection:
        daily_report(checks, door, connection)
        tables = DoorTables(connection)
        daily_analytics.check_day(checks, tables, DAY, {DAY})
        with checks.check("four executors work on one query"):
            eventually(60, lambda: equal(len(executors_of(connection)), 4, "executors"))

    prometheus(checks)
    kafka(checks)

    query = LongQuery(door, tables)
    with checks.check(f"a query that runs for {LONG_SECONDS} s returns DuckDB's result"):
        query.lengthen()
    with checks.check("an executor is killed in the middle of a query: the result is right"):
        with query.running():
            run("docker", "kill", containers("executor")[0])
    with checks.check("the lost executor raises an alert"):
        eventually(120, lambda: alerts_with("ExecutorsLost"))
    restarts = lambda: value("bergmill_query_restarts_total")
    restarts_before = restarts()
    with door.connect() as connection:
        for executors in [2, 6]:
            with checks.check(f"scaled to {executors} executors while queries run: the results are right"):
                with query.running():
                    scale(executors)
                eventually(90, lambda: equal(len(executors_of(connection)), executors, "executors"))
            with checks.check(f"Prometheus scrapes the {executors} executors"):
                eventually(60, lambda: equal(up("executor"), executors, "executors"))
                eventually(60, lambda: equal(value("bergmill_executors"), executors, "executors of the scheduler"))
            with checks.check("no query restarted for that"):
                equal(restarts(), restarts_before, "restarts")
    with checks.check("SIGTERM ends scheduler and executors with exit code 0"):
        stopped = containers("scheduler") + containers("executor")
        compose("stop", "scheduler", "executor")
        equal([inspect(c)["State"]["ExitCode"] for c in stopped], [0] * len(stopped), "exit codes")


class Door:
    """The front door, as a client on the host uses it."""

    PASSWORD = "/tmp/password"

    def __init__(self, checks):
        self.address = compose("port", "scheduler", "50051").strip()
        with checks.check("the password of the first user is printed, once"):
            in_scheduler("sh", "-c", f"umask 077 && bergmill user initial-password >{self.PASSWORD}")
            again = compose_run("exec", "-T", "scheduler", "bergmill", "user", "initial-password")
            assert again.returncode != 0 and "has been printed already" in again.stderr, again
        self.password = in_scheduler("cat", self.PASSWORD).strip()
        self.authority = in_scheduler("cat", "/run/bergmill/door/ca.pem")
        with checks.check("the front door admits nobody without it"):
            wrong = {"username": "admin", "password": "wrong horse"}
            for login, reason in [({}, "requires a login"), (wrong, "the user or the password is wrong")]:
                try:
                    with self.connect(login) as connection:
                        fetch(connection, "SELECT 1")
                except Exception as refused:
                    assert reason in str(refused), refused
                else:
                    raise AssertionError(f"admitted with {login}")

    def connect(self, login=None):
        login = {"username": "admin", "password": self.password} if login is None else login
        options = {DatabaseOptions.TLS_ROOT_CERTS.value: self.authority} | login
        return flight_sql.connect(f"grpc+tls://{self.address}", db_kwargs=options, autocommit=True)

    def bergmill(self, *command):
        """Runs a command in the scheduler's container, as the first user."""
        return compose("exec", "-T", "-e", f"BERGMILL_PASSWORD_FILE={self.PASSWORD}", "scheduler", "bergmill", *command)


def strangers(checks):
    """What someone finds who reaches the network of the project, but has no certificate."""
    ports = [(c, 50050) for c in containers("scheduler")]
    ports += [(c, port) for c in containers("executor") for port in (50052, 50053)]
    for tls in [False, True]:
        with checks.check(f"the ports between processes refuse strangers with{'' if tls else 'out'} TLS"):
            for container, port in ports:
                [network] = inspect(container)["NetworkSettings"]["Networks"].values()
                assert not admits_strangers(network["IPAddress"], port, tls), f"port {port}"


def admits_strangers(host, port, tls):
    """Whether the beginning of HTTP/2 is answered as by an open server, which sends its settings."""
    with socket.create_connection((host, port), timeout=10) as connection:
        try:
            if tls:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                context.set_alpn_protocols(["h2"])
                connection = context.wrap_socket(connection)
            connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")
            answer = connection.recv(1000)
        except (ssl.SSLError, ConnectionError):
            return False
    # The type of a frame of settings is 4.
    return answer[3:4] == b"\x04"


def prometheus(checks):
    with checks.check("Prometheus scrapes the scheduler and all executors"):
        eventually(60, lambda: equal((up("scheduler"), up("executor")), (1, 4), "targets"))
    with checks.check("its figures are those of the scheduler"):
        eventually(60, lambda: equal(value("bergmill_executors"), 4, "executors"))
        eventually(60, lambda: at_least(value('bergmill_queries_total{outcome="finished"}'), 20, "statements"))
        eventually(60, lambda: at_least(value('sum(bergmill_tasks_total{outcome="finished"})'), 20, "tasks"))
        at_least(value("min(process_resident_memory_bytes)"), 2**20, "memory")
    with checks.check("no alert fires over a cluster that works"):
        eventually(60, lambda: equal(alerts(), [], "alerts"))


def kafka(checks):
    topics = ["reviews", "search-queries", "sessions", "shopping-events"]
    with checks.check("Kafka has the shop's topics, with four partitions each"):
        tool = ["exec", "-T", "kafka", "/opt/kafka/bin/kafka-topics.sh", "--bootstrap-server", "kafka:9092"]
        listed = lambda: [t for t in compose("--profile", "stream", *tool, "--list").split() if not t.startswith("__")]
        eventually(120, lambda: equal(sorted(listed()), topics, "topics"))
        described = compose("--profile", "stream", *tool, "--describe", "--topic", "sessions")
        assert "PartitionCount: 4" in described.replace("\t", " "), described


def up(job):
    return value(f'sum(up{{job="{job}"}})')


def value(expression):
    """The only sample of an instant query."""
    samples = asked("query", query=expression)["result"]
    assert len(samples) == 1, f"{expression}: {samples}"
    return float(samples[0]["value"][1])


def alerts():
    return sorted({alert["labels"]["alertname"] for alert in asked("alerts")["alerts"] if alert["state"] == "firing"})


def alerts_with(name):
    assert name in alerts(), f"{name} does not fire; firing: {alerts()}"


def asked(path, **parameters):
    address = compose("port", "prometheus", "9090").strip()
    with urllib.request.urlopen(f"http://{address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}", timeout=10) as answer:
        return json.load(answer)["data"]


def at_least(got, least, what):
    assert got >= least, f"{what}: {got}, expected at least {least}"


SECRETS = ["/run/bergmill/storage/.env", "/run/bergmill/catalog/.env"]


# ---------------------------------------------------------------------------------------------------------------------
# Results


def daily_report(checks, door, connection):
    with checks.check("the CSV file is loaded over ADBC, into the bucket raw"):
        update(connection, "DROP TABLE raw.ecommerce_logs")
        update(connection, """CREATE TABLE raw.ecommerce_logs (timestamp TIMESTAMP, user_id BIGINT, session_id TEXT, event_type TEXT,
                              product_id TEXT, category TEXT, price DECIMAL(10, 2), quantity INT) PARTITIONED BY (day(timestamp))""")
        types = {"timestamp": pa.timestamp("us"), "price": pa.decimal128(10, 2), "quantity": pa.int32()}
        lines = pyarrow.csv.read_csv(CSV, convert_options=pyarrow.csv.ConvertOptions(column_types=types))
        with connection.cursor() as cursor:
            equal(cursor.adbc_ingest("ecommerce_logs", lines, mode="append", db_schema_name="raw"), 15, "rows")
        [path] = fetch(connection, 'SELECT file_path FROM raw."ecommerce_logs$files"')["file_path"].to_pylist()
        assert path.startswith("s3://raw/"), path
    with checks.check("daily_report runs over it"):
        for name in DAILY_REPORT:
            update(connection, f"DROP TABLE aggregated.{name}")
        door.bergmill("job", "run", "daily_report", "--date", str(DAY))
    for name, rows in DAILY_REPORT.items():
        with checks.check(f"aggregated.{name} has the right rows for the fifteen lines"):
            got = fetch(connection, f"SELECT * FROM aggregated.{name}")
            same_rows([tuple(row.values()) for row in got.to_pylist()], [(DAY, *row) for row in rows], 2)


class DoorTables(Tables):
    """Tables as the front door returns them, in DuckDB."""

    def __init__(self, connection):
        self.connection = connection
        self.duck = duckdb.connect(":memory:")
        self.duck.execute("SET TimeZone = 'UTC'")

    def view(self, name):
        rows, view = fetch(self.connection, f"SELECT * FROM {name}"), name.replace(".", "_")
        self.duck.register("rows", rows)
        self.duck.execute(f"CREATE OR REPLACE TABLE {view} AS FROM rows")
        return view

    def summaries(self, name):
        namespace, table = name.split(".")
        rows = fetch(self.connection, f'SELECT summary FROM {namespace}."{table}$snapshots"')["summary"].to_pylist()
        return [json.loads(row) for row in rows]


class LongQuery:
    """A query over the events, of adjustable length, whose result DuckDB has computed."""

    def __init__(self, door, tables):
        self.door = door
        self.times = 1
        self.answer = tables.duck.execute("""SELECT count(*) AS n, count(DISTINCT session_id) AS sessions, sum(price * quantity) AS total
                                             FROM raw_shopping_events""").fetchone()

    def run(self):
        """Counts every event once for each number: much work, but only one row per number."""
        numbers = ", ".join(f"({n})" for n in range(self.times))
        with self.door.connect() as connection:
            got = fetch(connection, f"""SELECT number, count(*) AS n, count(DISTINCT session_id) AS sessions, sum(price * quantity) AS total
                                        FROM raw.shopping_events CROSS JOIN (VALUES {numbers}) AS numbers (number)
                                        GROUP BY number ORDER BY number""")
        equal([tuple(row.values()) for row in got.to_pylist()], [(n, *self.answer) for n in range(self.times)], "answer")

    def lengthen(self):
        """Makes the query longer until it takes LONG_SECONDS."""
        while True:
            started = time.monotonic()
            self.run()
            took = time.monotonic() - started
            print(f"       {self.times} times the events: {took:.1f} s")
            if took >= LONG_SECONDS:
                return
            self.times *= max(2, min(8, int(LONG_SECONDS / took) + 1))

    def running(self):
        return Running(self)


class Running:
    """The block starts while the query runs, a quarter of LONG_SECONDS after it; after the block the query must end with the right result."""

    def __init__(self, query):
        self.query = query
        self.error = None
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        try:
            self.query.run()
        except Exception as error:
            self.error = error

    def __enter__(self):
        self.thread.start()
        time.sleep(LONG_SECONDS / 4)
        assert self.thread.is_alive(), f"the query ended too early: {self.error or 'with the right result'}"

    def __exit__(self, kind, *_):
        self.thread.join(300)
        if kind is None:
            assert not self.thread.is_alive(), "no result within 300 s"
            if self.error:
                raise self.error


def executors_of(connection):
    """The executors that worked on a query, according to EXPLAIN ANALYZE."""
    rows = fetch(connection, """EXPLAIN ANALYZE SELECT user_id, count(DISTINCT session_id) FROM raw.shopping_events
                                GROUP BY user_id""").to_pylist()
    [text] = [row["plan"] for row in rows if row["plan_type"] == "executors"]
    found = [line for line in text.splitlines() if line.endswith(" tasks")]
    assert found, text
    return found


def fetch(connection, statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetch_arrow_table()


def update(connection, statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)


# ---------------------------------------------------------------------------------------------------------------------
# Containers


def finished(*command):
    return subprocess.run(command, capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL)


def run(*command):
    done = finished(*command)
    assert done.returncode == 0, f"{shlex.join(command)[:200]} ended with {done.returncode}: {(done.stdout + done.stderr)[-2000:]}"
    return done.stdout


def compose(*arguments):
    return run(*shlex.split(os.environ["SMOKE_COMPOSE"]), *arguments)


def compose_run(*arguments):
    """Also if it fails."""
    return finished(*shlex.split(os.environ["SMOKE_COMPOSE"]), *arguments)


def in_scheduler(*command):
    return compose("exec", "-T", "scheduler", *command)


def containers(service=None):
    """Ids of the running containers."""
    return compose("ps", "-q", *([service] if service else [])).split()


def inspect(container):
    return json.loads(run("docker", "inspect", container))[0]


def scale(executors):
    compose("up", "-d", "--no-recreate", "--scale", f"executor={executors}", "executor")


def eventually(seconds, check):
    """Repeats the check until it passes, for at most so many seconds."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return check()
        except AssertionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


if __name__ == "__main__":
    main(lambda checks, _: body(checks, int(sys.argv[1])))
