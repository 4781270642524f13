#!/usr/bin/env python3
"""Checks that the tests which the documents name are there: in README.md and Docs/*.md, after the name of a suite, as in
`ReconnectTests`: anotherDiskIsRefused, aReaderThatWaits... (three dots: the rest of the name is left out)."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
MENTION = re.compile(r"`(\w+Tests)`(?:: *((?:[a-z]\w*(?:\.\.\.)?(?:, *|(?= *[;|.]|$))?)+))?")


def suites():
    """Suite to the names of its tests. A suite is a type, or a file of that name."""
    found = {}
    for path in (ROOT / "Tests").rglob("*.swift"):
        text = path.read_text()
        functions = set(re.findall(r"func (\w+)", text))
        for name in {path.stem, *re.findall(r"(?:struct|enum|class|extension) (\w+Tests)\b", text)}:
            found.setdefault(name, set()).update(functions)
    return found


def main():
    known, wrong, count = suites(), [], 0
    for path in [ROOT / "README.md", *sorted((ROOT / "Docs").glob("*.md"))]:
        for suite, names in MENTION.findall(path.read_text()):
            if suite not in known:
                wrong.append(f"{path.name}: there is no suite {suite}")
                continue
            for name in filter(None, re.split(r", *", names)):
                count += 1
                prefix = name.removesuffix("...")
                if not any(test == prefix or (name != prefix and test.startswith(prefix)) for test in known[suite]):
                    wrong.append(f"{path.name}: {suite} has no test {name}")
    print("\n".join(wrong) if wrong else f"{count} tests that documents name are there")
    return bool(wrong) or count == 0


sys.exit(main())
