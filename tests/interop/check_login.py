"""Checks login and TLS of the front door with the ADBC driver for Flight SQL.

    check_login.py FOLDER     a new folder
"""

import adbc_driver_flightsql.dbapi as flight_sql
from adbc_driver_flightsql import DatabaseOptions

from harness import bergmill, contains, equal, main, running

# Of a length whose base64 would be padded; the driver, which is written in Go, leaves the padding out.
PASSWORD = "correct horse"


def body(checks, folder):
    folder.mkdir()
    bergmill("certs", "--dir", folder / "certs")
    bergmill("certs", "--dir", folder / "foreign")
    (folder / "password").write_text(PASSWORD)
    bergmill("user", "add", "ada", "--data", folder, "--password-file", folder / "password")
    ca = (folder / "certs" / "ca.pem").read_text()
    with scheduler(folder) as door:
        def connect(**options):
            given = {DatabaseOptions.TLS_ROOT_CERTS.value: ca} | options
            return flight_sql.connect(f"grpc+tls://{door}", db_kwargs=given, autocommit=True)

        def refused(expected, **options):
            try:
                with connect(**options) as connection:
                    one(connection)
            except Exception as error:
                contains(str(error), expected)
            else:
                raise AssertionError("the login is accepted")

        with checks.check("a user logs in with a password"), connect(username="ada", password=PASSWORD) as connection:
            equal(one(connection), 1, "answer")
        with checks.check("and gets a token for programs"), connect(username="ada", password=PASSWORD) as connection:
            token = one(connection, "CREATE TOKEN adbc EXPIRES IN 1 DAY")
        header = DatabaseOptions.AUTHORIZATION_HEADER.value
        with checks.check("a program logs in with it"), connect(**{header: f"Bearer {token}"}) as connection:
            equal(one(connection), 1, "answer")
            equal([row[0] for row in rows(connection, "SHOW USERS")], ["ada"], "users")
        with checks.check("a wrong password is refused"):
            refused("the user or the password is wrong", username="ada", password="wrong horse")
        with checks.check("no password is refused"):
            refused("this server requires a login")
        with checks.check("a made-up token is refused"):
            refused("the token is not valid", **{header: "Bearer bergmill_x"})
        with checks.check("a server of a foreign authority is refused by the driver"):
            foreign = (folder / "foreign" / "ca.pem").read_text()
            refused("certificate", username="ada", password=PASSWORD, **{DatabaseOptions.TLS_ROOT_CERTS.value: foreign})


def rows(connection, statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall()


def one(connection, statement="SELECT 1"):
    [[value]] = rows(connection, statement)
    return value


def scheduler(folder):
    """A scheduler with TLS that runs during the block; yields the address of its front door."""
    certs = folder / "certs"
    return running(folder, "scheduler", "--data", folder, "--listen", "127.0.0.1:0", "--cluster-listen", "127.0.0.1:0",
                   "--tls-cert", certs / "server.pem", "--tls-key", certs / "server.key")


if __name__ == "__main__":
    main(body)
