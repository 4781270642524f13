#!/usr/bin/env python3
"""Writes Docs/coverage.md: for each clause of the catalogue the code that checks or keeps it, and the tests that show it. A place
counts where it names the clause. --check writes nothing, and fails where the file differs."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
ID = re.compile(r"\b(?:HS|OPT|TLS|SZ|MC|TX|SR|EH|URI|RB)-\d{3}\b")


def places(folder):
    """Clause to the files below `folder` that name it."""
    found = {}
    for path in sorted((ROOT / folder).rglob("*.swift")):
        if "Catalogue" in path.parts:
            continue
        for clause in sorted(set(ID.findall(path.read_text()))):
            found.setdefault(clause, []).append(path.relative_to(ROOT))
    return found


def links(paths):
    return ", ".join(f"[{path.name}](../{path})" for path in paths)


def text():
    sources, tests = places("Sources"), places("Tests")
    rows = [line.split("\t") for line in (ROOT / "Docs/conformance/clauses.tsv").read_text().splitlines()[1:]]
    lines = [
        "# Which code keeps a clause, and which test shows it",
        "",
        "Written by `Scripts/coverage.py`: a file counts where it names the clause. For clauses about servers the code is the check, and",
        "the test is a server that breaks the rule.",
        "",
    ]
    for side, title in (("server", "Servers"), ("client", "This client")):
        mine = [row for row in rows if (row[1] == "client") == (side == "client")]
        tested = sum(row[0] in tests for row in mine)
        lines += [f"## {title}", "", f"{tested} of {len(mine)} clauses are named by a test.", "", "| clause | | code | test |", "|---|---|---|---|"]
        for row in mine:
            clause = row[5].replace("|", "\\|")
            lines.append(f"| {row[0]} {row[2]} | {clause} | {links(sources.get(row[0], []))} | {links(tests.get(row[0], []))} |")
        lines.append("")
    return "\n".join(lines)


def main():
    path = ROOT / "Docs/coverage.md"
    if "--check" not in sys.argv:
        path.write_text(text())
    elif not path.exists() or path.read_text() != text():
        sys.exit("Scripts/coverage.py has not been run")


main()
