"""Checks `bergmill experiment peers` with DuckDB: the twenty queries of the shop return the same rows on all engines.

    check_peers.py FOLDER     a folder for the tables and the results
"""

import json
import sys
from collections import Counter

from harness import bergmill, equal, main

ENGINES = ["bergmill", "bergmill-staged", "datafusion", "duckdb"]


def body(checks, folder):
    out = folder / "run"
    with checks.check("all queries of the shop have the same rows on all engines"):
        engines = ["--engines", ",".join(ENGINES[1:]), "--cores", 2, "--python", sys.executable]
        bergmill("experiment", "peers", "--out", out, "--events", 20_000, "--repeat", 1, *engines)
    with checks.check("each query is measured on each engine"):
        lines = [json.loads(line) for line in (out / "measurements.jsonl").read_text().splitlines()]
        equal(Counter(line["engine"] for line in lines), Counter(dict.fromkeys(ENGINES, 20)), "measurements")
        equal([line["query"] for line in lines if line["wall_seconds"] <= 0], [], "queries without a time")
        equal("Not measured" in (out / "report.md").read_text(), False, "the report has a section of problems")


if __name__ == "__main__":
    main(body)
