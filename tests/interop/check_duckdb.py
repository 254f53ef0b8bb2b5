"""Checks that DuckDB's Iceberg reader reads the same rows from Bergmill's tables as PyIceberg.

    check_duckdb.py FOLDER     the data folder that `bergmill demo` has filled
"""

import duckdb
import duckdb_extensions

from harness import catalog, equal, main


def body(checks, folder):
    shop = catalog(folder)
    duck = duckdb.connect(":memory:")
    duck.execute("SET TimeZone = 'UTC'")
    for extension in ["avro", "iceberg"]:
        duckdb_extensions.import_extension(extension, con=duck)
        duck.execute(f"LOAD {extension}")
    for namespace in shop.list_namespaces():
        for identifier in shop.list_tables(namespace):
            with checks.check(f"{'.'.join(identifier)}: the same rows as PyIceberg reads"):
                table = shop.load_table(identifier)
                rows = table.scan().to_arrow()
                duck.register("expected", rows)
                duck.execute(f"CREATE OR REPLACE VIEW found AS SELECT * FROM iceberg_scan('{table.metadata_location}')")
                columns = [row[0] for row in duck.execute("DESCRIBE found").fetchall()]
                equal(columns, rows.column_names, "columns")
                equal(count(duck, "SELECT * FROM found"), len(rows), "rows")
                for one, other in [("found", "expected"), ("expected", "found")]:
                    equal(count(duck, f"SELECT * FROM {one} EXCEPT ALL SELECT * FROM {other}"), 0, f"rows in {one} alone")
                duck.unregister("expected")


def count(duck, query):
    return duck.execute(f"SELECT count(*) FROM ({query})").fetchone()[0]


if __name__ == "__main__":
    main(body)
