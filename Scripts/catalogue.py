#!/usr/bin/env python3
"""Writes Sources/NBDConformance/Catalogue/Clauses+*.swift from Docs/conformance/clauses.tsv, one file for each kind of
clause, so that the program carries its catalogue and needs no file beside it. --check writes nothing, and fails where a
file differs."""

import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
TITLES = {
    "HS": "the handshake's greeting", "OPT": "options", "TLS": "TLS", "SZ": "block sizes", "MC": "metadata contexts",
    "TX": "the transmission phase", "SR": "structured replies", "EH": "extended headers", "URI": "URIs",
    "RB": "a client that meets a server which breaks the rules",
}


def sources():
    lines = (ROOT / "Docs/conformance/clauses.tsv").read_text().splitlines()[1:]
    for kind, title in TITLES.items():
        rows = [line for line in lines if line.startswith(kind + "-")]
        yield (ROOT / f"Sources/NBDConformance/Catalogue/Clauses+{kind}.swift", f'''\
/// The catalogue's clauses about {title}, as in Docs/conformance/clauses.tsv, of which Scripts/catalogue.py makes this file.
extension Catalogue {{
  static let text{kind} = #"""
''' + "".join(f"    {row}\n" for row in rows) + '''\
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
