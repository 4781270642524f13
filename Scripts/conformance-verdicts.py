#!/usr/bin/env python3
"""Compares reports of servers with Docs/conformance/expected.tsv, which has a row for each clause that is not kept: id, verdict,
servers, and why. usage: conformance-verdicts.py KEEP DIRECTORY NAME...

With KEEP "yes" the reports go to Docs/conformance/reports, with the bytes of what did not pass."""

import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent / "Docs/conformance"


def expected():
    """(server, id) to verdicts; with "?" behind it a verdict is found in some runs only, as the server's threads race."""
    rows = {}
    for line in (ROOT / "expected.tsv").read_text().splitlines()[1:]:
        clause, verdict, servers, why = line.split("\t")
        assert why, f"{clause}: no analysis"
        for server in servers.split():
            rows[server, clause] = {verdict.rstrip("?")} | ({"pass or skip"} if verdict.endswith("?") else set())
    return rows


def main():
    keep, directory, names = sys.argv[1] == "yes", pathlib.Path(sys.argv[2]), sys.argv[3:]
    found = {}
    for name in names:
        report = json.loads((directory / f"{name}.json").read_text())
        report["server"] = name
        for check in report["checks"]:
            if check["verdict"] in ("warn", "fail"):
                found[name, check["id"]] = check["verdict"]
            else:
                check["conversation"] = []
            check["seconds"] = 0
        report["seconds"] = 0
        if keep:
            (ROOT / "reports").mkdir(exist_ok=True)
            (ROOT / "reports" / f"{name}.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    unexpected = 0
    known = {key: verdict for key, verdict in expected().items() if key[0] in names}
    for name, clause in sorted(found.keys() | known.keys()):
        was, now = known.get((name, clause), {"pass or skip"}), found.get((name, clause), "pass or skip")
        if now not in was:
            print(f"{name}: {clause} is {now}, expected was {' or '.join(sorted(was))}")
            unexpected += 1
    sys.exit(unexpected > 0)


main()
