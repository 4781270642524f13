#!/usr/bin/env python3
"""Writes Sources/NBDConformance/Catalogue/Clauses+*.swift from Docs/conformance/clauses.tsv, one file for each kind of
clause, and Ambiguities.swift from ambiguities.md, so that the program carries its catalogue and needs no file beside it.
--check writes nothing, and fails where a file differs."""

import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TITLES = {
    "HS": "the handshake's greeting", "OPT": "options", "TLS": "TLS", "SZ": "block sizes", "MC": "metadata contexts",
    "TX": "the transmission phase", "SR": "structured replies", "EH": "extended headers", "URI": "URIs",
    "RB": "a client that meets a server which breaks the rules",
}


WIDTH = 132


def quoted(row):
    """A row of a Swift literal, in lines that are not too long."""
    lines, rest = [], row
    while len(rest) + 4 > WIDTH:
        place = max(rest.rfind(" ", 0, WIDTH - 6), rest.rfind("\t", 0, WIDTH - 6)) + 1
        assert place > 0, f"no place to cut: {rest}"
        lines.append(f"    {rest[:place]}\\#\n")
        rest = rest[place:]
    return "".join(lines) + f"    {rest}\n"


def sources():
    lines = (ROOT / "Docs/conformance/clauses.tsv").read_text().splitlines()[1:]
    for kind, title in TITLES.items():
        rows = [line for line in lines if line.startswith(kind + "-")]
        yield (ROOT / f"Sources/NBDConformance/Catalogue/Clauses+{kind}.swift", f'''\
/// The catalogue's clauses about {title}.
/// Scripts/catalogue.py makes this file of Docs/conformance/clauses.tsv.
extension Catalogue {{
  static let text{kind} = #"""
''' + "".join(map(quoted, rows)) + '''\
    """#
}
''')
    readings = (ROOT / "Docs/conformance/ambiguities.md").read_text().splitlines()[1:]
    yield (ROOT / "Sources/NBDConformance/Catalogue/Ambiguities.swift", '''\
/// Places of the specification that can be read in several ways, with the reading chosen.
/// Scripts/catalogue.py makes this file of Docs/conformance/ambiguities.md.
extension Catalogue {
  static let textAmbiguities = #"""
''' + "".join(map(quoted, readings)) + '''\
    """#
}
''')


def main():
    different = []
    for path, text in sources():
        if not path.exists() or path.read_text() != text:
            different.append(path.name)
            if "--check" not in sys.argv:
                path.write_text(text)
    if "--check" in sys.argv and different:
        sys.exit(f"Scripts/catalogue.py has not been run: {', '.join(different)}")


main()
