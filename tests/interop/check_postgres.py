"""Checks the front door for clients of Postgres with psycopg, psycopg2 and SQLAlchemy: login, TLS, parameters, types,
cancelling.

    check_postgres.py FOLDER     a new folder
"""

import datetime
import threading
import time
from decimal import Decimal

import psycopg
import psycopg2
import sqlalchemy
from sqlalchemy import Column, MetaData, Table, func, select, types

from harness import bergmill, contains, equal, main, running

PASSWORD = "correct horse"


def body(checks, folder):
    folder.mkdir()
    bergmill("certs", "--dir", folder / "certs")
    (folder / "password").write_text(PASSWORD)
    bergmill("user", "add", "ada", "--data", folder, "--password-file", folder / "password")
    with scheduler(folder) as door:
        host, port = door.rsplit(":", 1)
        given = {"host": "localhost", "port": port, "dbname": "bergmill", "user": "ada", "password": PASSWORD}
        verified = {"sslmode": "verify-full", "sslrootcert": str(folder / "certs" / "ca.pem")}

        def connect(autocommit=True, **options):
            return psycopg.connect(**(given | verified | options), autocommit=autocommit)

        def refused(expected, **options):
            try:
                connect(**options).close()
            except psycopg.OperationalError as error:
                contains(str(error), expected)
            else:
                raise AssertionError("the login is accepted")

        with checks.check("psycopg logs in by TLS"), connect() as connection:
            equal(connection.execute("SELECT 1").fetchone(), (1,), "answer")
            for statement in ["CREATE SCHEMA raw", "CREATE TABLE raw.visits (id BIGINT, name TEXT, day DATE, price DECIMAL(9, 2))"]:
                connection.execute(statement)
        with checks.check("a wrong password is refused"):
            refused("the user or the password is wrong", password="wrong horse")
        with checks.check("a connection without TLS is refused"):
            refused("this server requires TLS", sslmode="disable")
        with checks.check("a token is a password"), connect() as connection:
            token = connection.execute("CREATE TOKEN bi EXPIRES IN 1 DAY").fetchone()[0]
            with connect(password=token) as program:
                equal(program.execute("SELECT 2").fetchone(), (2,), "answer")
            refused("the token is of another user", user="bob", password=token)

        rows = [(1, "it's", datetime.date(2026, 2, 14), Decimal("1.50")), (2, None, datetime.date(1969, 12, 31), Decimal("-0.01"))]
        with checks.check("psycopg binds values"), connect() as connection, connection.cursor() as cursor:
            cursor.executemany("INSERT INTO raw.visits VALUES (%s, %s, %s, %s)", rows)
            equal(cursor.execute("SELECT * FROM raw.visits ORDER BY id").fetchall(), rows, "rows")
            query = "SELECT id FROM raw.visits WHERE day = %s AND price > %s"
            equal(cursor.execute(query, (rows[0][2], Decimal("1.49"))).fetchall(), [(1,)], "rows")
            equal(cursor.execute("UPDATE raw.visits SET name = %s WHERE id = %s", ("new", 2)).rowcount, 1, "count")
            equal(cursor.execute("SELECT name FROM raw.visits WHERE id = %b", (2,)).fetchone(), ("new",), "row")
        with checks.check("values are the same in text and in binary form"), connect() as connection:
            query = (
                "SELECT true a, 7::SMALLINT b, 7::INT c, 7::BIGINT d, 0.5::REAL e, 0.1::DOUBLE f, 12345.6789::DECIMAL(12, 4) g, "
                "'x' h, DATE '2026-02-14' i, TIMESTAMP '2026-02-14 01:02:03.000004' j, TIMESTAMPTZ '2026-02-14 01:02:03Z' k, "
                "NULL l, X'00ff' m, INTERVAL '1 month 2 days' n, [1, NULL] o"
            )
            read = [connection.cursor(binary=binary).execute(query).fetchone() for binary in (False, True)]
            equal(read[0], read[1], "row in binary form")
            equal(read[0][6:9], (Decimal("12345.6789"), "x", datetime.date(2026, 2, 14)), "values")
            equal((read[0][12], read[0][14]), (b"\x00\xff", [1, None]), "bytes and list")
        with checks.check("errors have a state"), connect() as connection:
            for statement, state in [("SELECT * FROM raw.nowhere", "42P01"), ("SELEC 1", "42000"), ("CREATE TABLE raw.visits (a INT)", "42P07")]:
                try:
                    connection.execute(statement)
                except psycopg.Error as error:
                    equal(error.sqlstate, state, statement)
                else:
                    raise AssertionError(f"{statement} is no error")
            equal(connection.execute("SELECT 3").fetchone(), (3,), "answer after errors")
        with checks.check("rows are read one by one"), connect() as connection:
            rows_read = sum(1 for _ in connection.cursor().stream("SELECT * FROM generate_series(1, 100000)"))
            equal(rows_read, 100000, "rows")
        with checks.check("a query is cancelled by a request"), connect() as connection:
            began = time.monotonic()
            timer = threading.Timer(1, connection.cancel_safe)
            timer.start()
            try:
                connection.execute("SELECT count(*) FROM generate_series(1, 20000000000)")
            except psycopg.errors.QueryCanceled as error:
                contains(str(error), "was cancelled")
            else:
                raise AssertionError("it was not cancelled")
            finally:
                timer.join()
            assert time.monotonic() - began < 10, "it took too long"
            equal(connection.execute("SELECT 4").fetchone(), (4,), "answer afterwards")
        with checks.check("a query ends with its client"), connect() as connection:
            leaving = connect()
            threading.Thread(target=execute_and_ignore, args=(leaving, "SELECT count(*) FROM generate_series(1, 20000000001)")).start()
            running_now = "SELECT count(*) FROM system.queries WHERE state = 'running' AND statement LIKE '%0000000001%' AND statement NOT LIKE '%system%'"
            wait(lambda: connection.execute(running_now).fetchone() == (1,), "it runs")
            leaving.pgconn.finish()
            wait(lambda: connection.execute(running_now).fetchone() == (0,), "it ends")
        with checks.check("a transaction says that its changes stay"), connect(autocommit=False) as connection:
            notices = []
            connection.add_notice_handler(lambda notice: notices.append(notice.message_primary))
            connection.execute("INSERT INTO raw.visits VALUES (3, 'c', NULL, NULL)")
            connection.rollback()
            contains(notices[0], "every statement commits on its own")
            equal(connection.execute("SELECT count(*) FROM raw.visits").fetchone(), (3,), "count")

        with checks.check("psycopg2"):
            connection = psycopg2.connect(**given, **verified)
            with connection.cursor() as cursor:
                cursor.execute("SELECT id, name, price FROM raw.visits WHERE id < %s ORDER BY id", (3,))
                equal(cursor.fetchall(), [(1, "it's", Decimal("1.50")), (2, "new", Decimal("-0.01"))], "rows")
            connection.close()

        for driver in ["psycopg", "psycopg2"]:
            url = sqlalchemy.URL.create(f"postgresql+{driver}", "ada", PASSWORD, "localhost", int(port), "bergmill", verified)
            engine = sqlalchemy.create_engine(url)
            visits = Table("visits", MetaData(), Column("id", types.BigInteger), Column("name", types.Text), Column("price", types.Numeric), schema="raw")
            with checks.check(f"SQLAlchemy with {driver}"), engine.connect() as connection:
                query = select(func.count(), func.max(visits.c.price)).where(visits.c.id <= 2)
                equal(connection.execute(query).one(), (2, Decimal("1.50")), "row")
                connection.execute(visits.insert(), [{"id": 10, "name": "x", "price": Decimal("2.00")}])
                equal(connection.execute(select(visits.c.name).where(visits.c.id == 10)).scalar_one(), "x", "name")
                connection.execute(visits.delete().where(visits.c.id == 10))
                connection.commit()
            with checks.check(f"SQLAlchemy with {driver} lists namespaces and tables"):
                inspector = sqlalchemy.inspect(engine)
                equal(inspector.get_schema_names(), ["raw"], "namespaces")
                equal(inspector.get_table_names("raw"), ["visits"], "tables")
                equal(inspector.has_table("visits", "raw"), True, "has_table")
            engine.dispose()


def execute_and_ignore(connection, statement):
    try:
        connection.execute(statement)
    except psycopg.Error:
        pass


def wait(is_true, what):
    deadline = time.monotonic() + 10
    while not is_true():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def scheduler(folder):
    """A scheduler with TLS that runs during the block; yields the address of its door for clients of Postgres."""
    certs = folder / "certs"
    return running(folder, "scheduler", "--data", folder, "--listen", "127.0.0.1:0", "--cluster-listen", "127.0.0.1:0",
                   "--postgres-listen", "127.0.0.1:0", "--tls-cert", certs / "server.pem", "--tls-key", certs / "server.key",
                   door="front door postgresql://")


if __name__ == "__main__":
    main(body)
