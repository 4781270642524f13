#!/usr/bin/env python3
"""Writes Docs/coverage.md: for each clause of the catalogue the code that checks or keeps it, and the tests that show it. A place
counts where it names the clause. --check writes nothing, and fails where the file differs.

A clause about this client has a test, or a reason in Docs/conformance/untested.tsv, and not both."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
ID = re.compile(r"\b(?:HS|OPT|TLS|SZ|MC|TX|SR|EH|URI|RB)-\d{3}\b")


def places(folder, pattern="*.swift"):
    """Clause to the files below `folder` that name it."""
    found = {}
    for path in sorted((ROOT / folder).rglob(pattern)):
        if "Catalogue" in path.parts:
            continue
        for clause in sorted(set(ID.findall(path.read_text()))):
            found.setdefault(clause, []).append(path.relative_to(ROOT))
    return found


def links(paths):
    return ", ".join(f"[{path.name}](../{path})" for path in paths)


def reasons():
    """Clause to the reason why no test shows it."""
    rows = [line.split("\t") for line in (ROOT / "Docs/conformance/untested.tsv").read_text().splitlines()[1:]]
    return {clause: why for clauses, why in rows for clause in clauses.split()}


def text():
    sources, tests, untested = places("Sources"), places("Tests"), reasons()
    # Rows of data that a test runs through.
    for clause, paths in places("Fixtures", "uris.tsv").items():
        tests.setdefault(clause, []).extend(paths)
    rows = [line.split("\t") for line in (ROOT / "Docs/conformance/clauses.tsv").read_text().splitlines()[1:]]
    lines = [
        "# Which code keeps a clause, and which test shows it",
        "",
        "Written by `Scripts/coverage.py`: a file counts where it names the clause. For clauses about servers the code is the check,",
        "and the test is a server that breaks the rule.",
        "",
    ]
    for side, title in (("server", "Servers"), ("client", "This client")):
        mine = [row for row in rows if (row[1] == "client") == (side == "client")]
        tested = sum(row[0] in tests for row in mine)
        lines += [f"## {title}", "", f"{tested} of {len(mine)} clauses are named by a test."]
        lines += ["", "| clause | | code | test |", "|---|---|---|---|"]
        for row in mine:
            if side == "client" and (row[0] in tests) == (row[0] in untested):
                sys.exit(f"{row[0]} has neither a test nor a reason in untested.tsv, or both")
            clause = row[5].replace("|", "\\|")
            shown = links(tests.get(row[0], [])) or untested.get(row[0], "")
            lines.append(f"| {row[0]} {row[2]} | {clause} | {links(sources.get(row[0], []))} | {shown} |")
        lines.append("")
    return "\n".join(lines)


def main():
    path = ROOT / "Docs/coverage.md"
    if "--check" not in sys.argv:
        path.write_text(text())
    elif not path.exists() or path.read_text() != text():
        sys.exit("Scripts/coverage.py has not been run")


main()
