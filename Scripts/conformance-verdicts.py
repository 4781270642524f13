#!/usr/bin/env python3
"""Prints a table of reports on servers, and compares them with Docs/conformance/expected.tsv, which has a row for each clause that
is not kept: id, verdict, servers, and why; and with the reports in Docs/conformance/reports, so that a check that stops running,
which is no failure, does not go unseen. usage: conformance-verdicts.py KEEP DIRECTORY NAME...

With KEEP "yes" the reports go to Docs/conformance/reports, with the bytes of what did not pass."""

import collections
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent / "Docs/conformance"
VERDICTS = ("pass", "warn", "fail", "skip")


def expected():
    """(server, id) to verdicts, as the server's threads may race: "warn|fail" is either, and with "?" behind it a verdict is found
    in some runs only."""
    rows = {}
    for line in (ROOT / "expected.tsv").read_text().splitlines()[1:]:
        clause, verdict, servers, why = line.split("\t")
        assert why, f"{clause}: no analysis"
        for server in servers.split():
            assert (server, clause) not in rows, f"{clause}: {server} is there twice"
            rows[server, clause] = set(verdict.rstrip("?").split("|")) | ({"pass or skip"} if verdict.endswith("?") else set())
    return rows


def stopped(report, name):
    """Checks that the kept report has run and this one has not, and the other way round; a line each."""
    path = ROOT / "reports" / f"{name}.json"
    if not path.exists():
        return []
    before = {check["id"]: check for check in json.loads(path.read_text())["checks"]}
    after = {check["id"]: check for check in report["checks"]}
    lines = [f"{name}: {clause} is not there, and has been run before" for clause in sorted(before.keys() - after.keys())]
    for clause in sorted(before.keys() & after.keys()):
        was, now = before[clause]["verdict"] == "skip", after[clause]["verdict"] == "skip"
        if now and not was:
            lines.append(f"{name}: {clause} is skipped, and has been run before: {after[clause]['found']}")
        elif was and not now:
            lines.append(f"{name}: {clause} is run, and has been skipped before: {before[clause]['found']}")
    return lines


def keep(report, name):
    """Writes the report without what differs from run to run."""
    for check in report["checks"]:
        if check["verdict"] not in ("warn", "fail"):
            check["conversation"] = []
        check["seconds"] = 0
    report["seconds"] = 0
    (ROOT / "reports").mkdir(exist_ok=True)
    (ROOT / "reports" / f"{name}.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n")


def main():
    keeps, directory, names = sys.argv[1] == "yes", pathlib.Path(sys.argv[2]), sys.argv[3:]
    known = expected()
    unexpected = []
    print(f"{'server':32} {'  '.join(VERDICTS)} seconds")
    for name in names:
        report = json.loads((directory / f"{name}.json").read_text())
        report["server"] = name
        count = collections.Counter(check["verdict"] for check in report["checks"])
        found = {check["id"]: check["verdict"] for check in report["checks"] if check["verdict"] in ("warn", "fail")}
        differs = []
        for clause in sorted(found.keys() | {clause for server, clause in known if server == name}):
            was, now = known.get((name, clause), {"pass or skip"}), found.get(clause, "pass or skip")
            if now not in was:
                differs.append(f"{name}: {clause} is {now}, expected was {' or '.join(sorted(was))}")
        # The kept reports are made anew where they are to be kept.
        if not keeps:
            differs += stopped(report, name)
        counts = "  ".join(f"{count[verdict]:4}" for verdict in VERDICTS)
        print(f"{name:32} {counts} {report['seconds']:7.1f}" + (f"  {len(differs)} not as expected" if differs else ""))
        unexpected += differs
        if keeps:
            keep(report, name)
    for line in unexpected:
        print(line)
    print(f"{len(unexpected)} verdicts are not as expected" if unexpected else "All verdicts are as expected")
    sys.exit(unexpected != [])


main()
