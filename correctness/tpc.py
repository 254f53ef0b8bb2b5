"""Creates TPC-DS or TPC-H with DuckDB's generators: tables, queries, and DuckDB's results.

    tpc.py tpcds|tpch SCALE FOLDER

Writes FOLDER/tables/NAME.parquet, FOLDER/queries/NN.sql and FOLDER/answers/NN.parquet. An answer has all rows, including
those that the query's last LIMIT cuts off, because a LIMIT may choose any of the rows that are equal in the sort
columns; FOLDER/limits.json has the LIMIT of each query that has one.
"""

import json
import pathlib
import re
import sys

import duckdb
import duckdb_extensions

# Where DuckDB interprets the same SQL differently from DataFusion: the order of nulls, and integer division.
SETTINGS = [
    "SET TimeZone = 'UTC'",
    "SET default_null_order = 'nulls_last_on_asc_first_on_desc'",
    "SET integer_division = true",
]
GENERATORS = {"tpcds": "dsdgen", "tpch": "dbgen"}
LAST_LIMIT = re.compile(r"\blimit\s+(\d+)\s*;?\s*$", re.IGNORECASE)


def main(suite, scale, folder):
    folder = pathlib.Path(folder)
    for part in ["tables", "queries", "answers"]:
        (folder / part).mkdir(parents=True, exist_ok=True)
    duck = duckdb.connect(":memory:")
    for statement in SETTINGS:
        duck.execute(statement)
    duckdb_extensions.import_extension(suite, con=duck)
    duck.execute(f"LOAD {suite}")
    duck.execute(f"CALL {GENERATORS[suite]}(sf = {float(scale)})")
    for (table,) in duck.execute("SELECT table_name FROM duckdb_tables() ORDER BY ALL").fetchall():
        duck.execute(f"COPY {table} TO '{folder / 'tables' / table}.parquet' (FORMAT parquet)")
    limits = {}
    for number, query in duck.execute(f"FROM {suite}_queries()").fetchall():
        query = query.strip().rstrip(";")
        name = f"{number:02}"
        (folder / "queries" / f"{name}.sql").write_text(query + "\n")
        if limit := LAST_LIMIT.search(query):
            limits[name] = int(limit.group(1))
            query = query[: limit.start()]
        answer = duck.sql(query)
        # Parquet has no integers of 128 bits, and names may come twice.
        names = [f"c{n}" for n in range(len(answer.columns))]
        types = [f"{n}::DECIMAL(38, 0) AS {n}" if str(t) == "HUGEINT" else n for n, t in zip(names, answer.types)]
        duck.execute(
            f"COPY (WITH answer({', '.join(names)}) AS ({query}) SELECT {', '.join(types)} FROM answer)"
            f" TO '{folder / 'answers' / name}.parquet' (FORMAT parquet)"
        )
    (folder / "limits.json").write_text(json.dumps(limits))


if __name__ == "__main__":
    main(*sys.argv[1:])
