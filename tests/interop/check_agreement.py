"""Checks that PyIceberg and Spark read the same from the tables of `tests/slt` as Bergmill.

    check_agreement.py FOLDER     a folder for each storage; in it one for each file of `tests/slt`, as written by BERGMILL_SLT_KEEP

Compares the current state of each table and each of its snapshots, branches and tags: names, types and order of the columns, and the rows as a
multiset of exact values. Catalogs without a file are at BERGMILL_TEST_CATALOG, a Postgres address; buckets are at AWS_ENDPOINT_URL.
BERGMILL_SPARK_JARS is the folder of Spark's jars for Iceberg (spark.pom.xml).
"""

import json
import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyspark.sql import SparkSession

from harness import SHOWN_DIFFERENCES, equal, main

FILES = Path(__file__).parent.parent / "slt"
SHOWN_LINES = 5


@dataclass
class Known:
    """What another engine is known not to read in one table; an unused entry is a failure."""

    reason: str
    says: str = ""  # a part of its error message, if it reads nothing
    column: str = ""  # the column that it reads wrongly; all others are compared


# Each was seen in tables written by the engine itself, or by another engine than Bergmill.
KNOWN = {
    ("Spark", "types.slt", "raw.times"): Known("Spark has no TIME for Iceberg", says="Spark does not support time fields"),
    ("Spark", "replace.slt", "raw.t"): Known(
        "Spark does not know the type of a partition field whose column is gone",
        says="String cannot be cast to class org.apache.spark.unsafe.types.UTF8String",
    ),
    ("PyIceberg", "evolve.slt", "raw.nested"): Known("PyIceberg reads a null list of structs as an empty one", column="l"),
    ("PyIceberg", "types.slt", "raw.edges"): Known("PyIceberg reads a null list of structs as an empty one", column="deep"),
}


def body(checks, folder):
    spark = Spark()
    try:
        for storage in sorted(folder.iterdir()):
            kept = {f.parent.name: f.parent for f in storage.glob("*/answers.json")}
            with checks.check(f"{storage.name}: every file of tests/slt has left tables with rows"):
                equal(kept.keys(), {f.stem for f in FILES.glob("*.slt")}, "files")
                equal([name for name, left in kept.items() if not has_rows(left)], [], "files that left no rows")
            for engine in (PyIceberg(), spark):
                agrees(checks, f"{storage.name}, {engine.name}", engine, kept)
            with checks.check(f"{storage.name}: KNOWN names existing tables"):
                tables = {(t["of"], f"{t['namespace']}.{t['name']}") for left in kept.values() for t in tables_of(left)}
                equal([entry for entry in KNOWN if entry[1:] not in tables], [], "entries")
    finally:
        spark.stop()


def agrees(checks, where, engine, kept):
    """Compares what `engine` reads from all warehouses of a storage."""
    begin, counts = time.monotonic(), Counter()
    for left in map(kept.get, sorted(kept)):
        warehouse = json.loads((left / "answers.json").read_text())
        of, tables = warehouse["of"], {(t["namespace"], t["name"]): t["answers"] for t in warehouse["tables"]}
        with checks.check(f"{where}: {of}: the list of tables"):
            engine.open(warehouse)
            equal(engine.tables(), set(tables), "tables")
        for name, versions in tables.items():
            known = KNOWN.get((engine.name, of, ".".join(name)))
            with checks.check(f"{where}: {of}: {'.'.join(name)}" + (f", but {known.reason}" if known else "")):
                as_known = 0
                for version in versions:
                    expected = rows_of(left, engine.expected(version, versions))
                    as_known += not compare(lambda: engine.read(name, version), expected, title(version), known)
                    counts[version["as"]] += 1
                counts["tables"] += 1
                counts["of them as in KNOWN"] += as_known
                assert as_known or not known, "KNOWN has an unused entry"
    seconds = time.monotonic() - begin
    print(f"{where}: " + ", ".join(f"{n} {what}" for what, n in counts.items()) + f"; {seconds:.1f} s")


def compare(read, expected, what, known):
    """Compares a result with the expected one; False if it differs exactly as `known` says."""
    try:
        got = read()
    except Exception as error:
        if known and known.says and known.says in str(error):
            return False
        # Without the stack trace of a Java error.
        message = [line for line in str(error).splitlines() if not line.lstrip().startswith("at ")]
        raise AssertionError(f"{what}: {type(error).__name__}: " + "\n".join(message[:SHOWN_LINES])) from error
    try:
        same(got, expected, what)
    except AssertionError:
        if not known or not known.column:
            raise
        same(got.drop_columns([known.column]), expected.drop_columns([known.column]), f"{what}, without {known.column}")
        return False
    return True


def tables_of(left):
    warehouse = json.loads((left / "answers.json").read_text())
    return [{"of": warehouse["of"], **table} for table in warehouse["tables"]]


def has_rows(left):
    return any(rows_of(left, version).num_rows for table in tables_of(left) for version in table["answers"])


def rows_of(left, version):
    with pa.ipc.open_file(left / version["rows"]) as file:
        return file.read_all()


def title(version):
    return " ".join(str(version[key]) for key in ("as", "name", "snapshot") if key in version)


# ---------------------------------------------------------------------------------------------------------------------
# Equality


def same(got, want, what):
    equal([(f.name, kind(f.type)) for f in got.schema], [(f.name, kind(f.type)) for f in want.schema], f"{what}: columns")
    got, want = Counter(rows(got)), Counter(rows(want))
    wrong = [f"missing {row}" for row in (want - got).elements()] + [f"too much {row}" for row in (got - want).elements()]
    shown = "\n".join(wrong[:SHOWN_DIFFERENCES])
    assert not wrong, f"{what}: {len(wrong)} differences in {want.total()} expected and {got.total()} found rows:\n{shown}"


def kind(of):
    """The Iceberg type of an Arrow type: engines choose different layouts of the same type."""
    if pa.types.is_dictionary(of):
        return kind(of.value_type)
    if pa.types.is_string(of) or pa.types.is_large_string(of) or pa.types.is_string_view(of):
        return "string"
    if pa.types.is_binary(of) or pa.types.is_large_binary(of) or pa.types.is_binary_view(of):
        return "binary"
    if pa.types.is_list(of) or pa.types.is_large_list(of):
        return ["list", kind(of.value_type)]
    if pa.types.is_map(of):
        return ["map", kind(of.key_type), kind(of.item_type)]
    if pa.types.is_struct(of):
        return ["struct", *((f.name, kind(f.type)) for f in of)]
    return str(of)


def rows(table):
    """Rows as exact text: NaN equals NaN, 0.0 is not -0.0, 1.0 is not 1.00."""
    columns = [[exact(value, column.type) for value in column.to_pylist()] for column in table.columns]
    return map(repr, zip(*columns, strict=True)) if columns else []


def exact(value, of):
    if value is None:
        return None
    if pa.types.is_list(of) or pa.types.is_large_list(of):
        return [exact(v, of.value_type) for v in value]
    if pa.types.is_map(of):
        # The entries of a map have no order.
        return sorted(((exact(k, of.key_type), exact(v, of.item_type)) for k, v in value), key=repr)
    if pa.types.is_struct(of):
        return [exact(value[f.name], f.type) for f in of]
    return value


# ---------------------------------------------------------------------------------------------------------------------
# The engines


class PyIceberg:
    name = "PyIceberg"

    def open(self, warehouse):
        file, server = warehouse["catalog_file"], os.environ.get("BERGMILL_TEST_CATALOG", "")
        uri = f"sqlite:///{file}" if file else server.replace("postgres://", "postgresql+psycopg2://", 1)
        self.catalog = SqlCatalog(warehouse["catalog_name"], uri=uri, warehouse=warehouse["warehouse"], **bucket())
        self.loaded = {}

    def tables(self):
        return {table for namespace in self.catalog.list_namespaces() for table in self.catalog.list_tables(namespace)}

    def expected(self, version, versions):
        if version["as"] == "branch":
            # It reads a branch with the columns of its snapshot, Spark with those of the table.
            return next(v for v in versions if v["as"] == "snapshot" and v["snapshot"] == version["snapshot"])
        return version

    def read(self, name, version):
        if name not in self.loaded:
            self.loaded[name] = self.catalog.load_table(name)
        table = self.loaded[name]
        match version["as"]:
            case "current":
                return table.scan().to_arrow()
            case "snapshot":
                return table.scan(snapshot_id=version["snapshot"]).to_arrow()
            case _:
                return table.scan().use_ref(version["name"]).to_arrow()


class Spark:
    name = "Spark"

    def __init__(self):
        # Its ports listen on loopback only.
        os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
        jars = Path(os.environ["BERGMILL_SPARK_JARS"])
        settings = {
            "spark.driver.extraClassPath": f"{jars}/*",
            # Many small queries, run once each: optimized compilation would take longer than the queries.
            "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1",
            "spark.driver.memory": "1g",
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.log.level": "OFF",
            "spark.sql.extensions": "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
            "spark.sql.session.timeZone": "UTC",
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
        }
        self.spark = SparkSession.builder.master("local[2]").config(map=settings).getOrCreate()

    def stop(self):
        self.spark.stop()

    def open(self, warehouse):
        # Catalogs in files all have the same name. Each session has its own catalogs.
        self.session = self.spark.newSession()
        self.catalog = warehouse["catalog_name"]
        settings = {
            "": "org.apache.iceberg.spark.SparkCatalog",
            ".type": "jdbc",
            ".jdbc.schema-version": "V1",
            ".warehouse": warehouse["warehouse"],
        }
        if warehouse["catalog_file"]:
            settings[".uri"] = f"jdbc:sqlite:{warehouse['catalog_file']}"
        else:
            user, _, place = os.environ["BERGMILL_TEST_CATALOG"].removeprefix("postgres://").rpartition("@")
            user, _, password = user.partition(":")
            settings |= {".uri": f"jdbc:postgresql://{place}", ".jdbc.user": user, ".jdbc.password": password}
        if warehouse["warehouse"].startswith("s3://"):
            settings[".io-impl"] = "org.apache.iceberg.aws.s3.S3FileIO"
            settings[".client.region"] = os.environ["AWS_REGION"]
            settings |= {f".{key}": value for key, value in bucket().items()}
        for key, value in settings.items():
            self.session.conf.set(f"spark.sql.catalog.{self.catalog}{key}", value)

    def tables(self):
        namespaces = [row[0] for row in self.session.sql(f"SHOW NAMESPACES IN `{self.catalog}`").collect()]
        listed = [self.session.sql(f"SHOW TABLES IN `{self.catalog}`.`{n}`").collect() for n in namespaces]
        return {(row["namespace"], row["tableName"]) for rows in listed for row in rows}

    def expected(self, version, versions):
        return version

    def read(self, name, version):
        clause = {
            "current": "",
            "snapshot": f" VERSION AS OF {version.get('snapshot')}",
        }.get(version["as"], f" VERSION AS OF '{version.get('name')}'")
        return self.session.sql(f"SELECT * FROM `{self.catalog}`.`{name[0]}`.`{name[1]}`{clause}").toArrow()


def bucket():
    """The address of buckets, by the property names that PyIceberg and Iceberg's S3FileIO share."""
    if "AWS_ENDPOINT_URL" not in os.environ:
        return {}
    return {
        "s3.endpoint": os.environ["AWS_ENDPOINT_URL"],
        "s3.access-key-id": os.environ["AWS_ACCESS_KEY_ID"],
        "s3.secret-access-key": os.environ["AWS_SECRET_ACCESS_KEY"],
        "s3.region": os.environ["AWS_REGION"],
        "s3.path-style-access": "true",
    }


if __name__ == "__main__":
    main(body)
