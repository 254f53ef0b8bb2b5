"""Runs queries on another engine, over Iceberg tables: a process of `bergmill experiment peers`.

    engine.py duckdb|spark|sail SETTINGS

SETTINGS is JSON: `cores` and `memory_mib` that the engine may use, and `tables` by name, each with the path of its
metadata file. Prints a line when the tables are open. Then reads a line of JSON for each query,
writes the rows to the file `result` in the format of Arrow, and prints a line. The lines are described in
experiments/src/engine.rs.
"""

import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

# It is removed together with this process.
FOLDER = tempfile.gettempdir()
ICEBERG = "org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:1.12.0"
# Where DuckDB interprets the same SQL differently: the order of nulls, and integer division.
DUCKDB_SETTINGS = [
    "SET TimeZone = 'UTC'",
    "SET default_null_order = 'nulls_last_on_asc_first_on_desc'",
    "SET integer_division = true",
]


class DuckDB:
    def __init__(self, cores, memory_mib, tables):
        import duckdb
        import duckdb_extensions

        self.version = duckdb.__version__
        settings = {"threads": cores, "memory_limit": f"{memory_mib}MiB", "temp_directory": FOLDER}
        self.duck = duckdb.connect(config=settings)
        for extension in ["avro", "iceberg"]:
            duckdb_extensions.import_extension(extension, con=self.duck)
            self.duck.execute(f"LOAD {extension}")
        for setting in DUCKDB_SETTINGS:
            self.duck.execute(setting)
        for name, metadata in tables.items():
            self.duck.execute(f"""CREATE VIEW "{name}" AS FROM iceberg_scan('{metadata.replace("'", "''")}')""")

    def rows(self, sql):
        # Conditions on columns with a time zone only skip files and row groups if the constant has one as well.
        return self.duck.sql(sql.replace("TIMESTAMP '", "TIMESTAMPTZ '")).to_arrow_table()


class Spark:
    def __init__(self, cores, memory_mib, tables):
        from pyspark.sql import SparkSession

        # Its ports listen on loopback only.
        os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
        settings = {
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.memory": f"{memory_mib}m",
            "spark.jars.packages": ICEBERG,
            "spark.local.dir": FOLDER,
            "spark.log.level": "ERROR",
            "spark.sql.catalog.tables": "org.apache.iceberg.spark.SparkCatalog",
            "spark.sql.catalog.tables.type": "hadoop",
            "spark.sql.catalog.tables.warehouse": f"{FOLDER}/tables",
            "spark.sql.session.timeZone": "UTC",
            "spark.sql.shuffle.partitions": 4 * cores,
            "spark.sql.warehouse.dir": FOLDER,
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
        }
        self.spark = SparkSession.builder.master(f"local[{cores}]").config(map=settings).getOrCreate()
        self.version = self.spark.version
        for name, metadata in tables.items():
            # A catalog of folders finds a table by the name of its metadata file. All other files are where that says.
            copy = Path(FOLDER) / "tables" / "raw" / name / "metadata"
            copy.mkdir(parents=True)
            shutil.copy(metadata, copy / "v1.metadata.json")
            (copy / "version-hint.text").write_text("1")
            self.spark.table(f"tables.raw.`{name}`").createOrReplaceTempView(name)

    def rows(self, sql):
        return self.spark.sql(sql).toArrow()


class Sail(Spark):
    def __init__(self, cores, memory_mib, tables):
        # As in a cluster, workers exchange rows over the network. They are threads of this process.
        os.environ["SAIL_MODE"] = "local-cluster"
        os.environ["SAIL_EXECUTION__DEFAULT_PARALLELISM"] = str(cores)
        os.environ["SAIL_CLUSTER__WORKER_INITIAL_COUNT"] = str(cores)
        os.environ["SAIL_CLUSTER__WORKER_MAX_COUNT"] = str(cores)
        # Tasks that exchange rows run at the same time, and there may be one for each file. They share the cores.
        os.environ["SAIL_CLUSTER__WORKER_TASK_SLOTS"] = "256"
        from importlib.metadata import version

        from pysail.spark import SparkConnectServer
        from pyspark.sql import SparkSession

        self.version = version("pysail")
        self.server = SparkConnectServer("127.0.0.1", 0)
        self.server.start(background=True)
        address = f"sc://127.0.0.1:{self.server.listening_address[1]}"
        self.spark = SparkSession.builder.remote(address).getOrCreate()
        self.spark.conf.set("spark.sql.session.timeZone", "UTC")
        for name, metadata in tables.items():
            location = metadata.rsplit("/metadata/", 1)[0]
            self.spark.read.format("iceberg").load(location).createOrReplaceTempView(name)


def write(table, path):
    import pyarrow as pa

    with pa.OSFile(path, "wb") as file, pa.ipc.new_file(file, table.schema) as rows:
        rows.write_table(table)


def main():
    # Libraries print too: what they print goes to the log.
    lines = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def answer(**fields):
        lines.write(f"answer {json.dumps(fields)}\n")

    def failed(error):
        # Without the stack trace of a Java error.
        answer(failed=f"{type(error).__name__}: {error}".partition("\n\tat ")[0][:1000].strip())

    try:
        engine = {"duckdb": DuckDB, "spark": Spark, "sail": Sail}[sys.argv[1]](**json.loads(sys.argv[2]))
    except Exception as error:
        failed(error)
        return
    answer(ready={"version": engine.version})
    for line in sys.stdin:
        query = json.loads(line)
        try:
            began = time.perf_counter()
            table = engine.rows(query["sql"])
            seconds = time.perf_counter() - began
            write(table, query["result"])
        except Exception as error:
            failed(error)
        else:
            answer(ran={"seconds": seconds})
    # The threads of a server would keep this process alive.
    os._exit(0)


if __name__ == "__main__":
    main()
