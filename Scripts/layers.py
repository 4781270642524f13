#!/usr/bin/env python3
"""Checks that each folder of a module uses only the folders before it in reading order, as the folders' names in README
and below say. Prints each use that runs upward, and fails on one; and that the libraries of others are used in one place.

A use is a word of the code that is the name of a type which another folder declares. That is text and no compiler: a
folder's own nested types come first.
"""

import pathlib
import re
import sys

# Who may import what is not ours: each has one door.
DOORS = {"CGnuTLS": "NBDProtocol/Transport"}
MODULES = {
    "NBDProtocol": ["Wire", "Handshake", "Transmission", "System", "Transport", "Reactor", "Client"],
    "NBDConformance": ["Catalogue", "Conversation", "Engine", "Checks", "Report"],
    "NBDMount": ["FileSystem", "Process", "CommandLine", "FUSE", "Mounting", "Conformance", "."],
}
WORDS_BEFORE = r"(?:(?:@\w+(?:\([^)]*\))?|public|package|private|fileprivate|internal|final|indirect|nonisolated)\s+)*"
DECLARATION = re.compile(
    rf"^([ \t]*){WORDS_BEFORE}(?:struct|class|enum|protocol|actor|typealias)\s+([A-Z]\w*)", re.MULTILINE)


def code(path):
    """The file without comments and the text of its strings."""
    text = re.sub(r'"""\n.*?\n *"""', '""', path.read_text(), flags=re.DOTALL)
    text = re.sub(r"//[^\n]*", "", text)
    return re.sub(r'"(?:\\.|[^"\\\n])*"', '""', text)


def uses_that_run_up(module, folders):
    """Lines that say which file uses which type of a later folder."""
    root = pathlib.Path(__file__).resolve().parent.parent / "Sources" / module
    sources = {path.relative_to(root): code(path) for path in sorted(root.rglob("*.swift"))}
    place = {path: path.parts[0] if len(path.parts) > 1 else "." for path in sources}
    if unknown := set(place.values()) ^ set(folders):
        return [f"{module}: folders and {pathlib.Path(__file__).name} differ in {', '.join(sorted(unknown))}"]
    owners, own = {}, {folder: set() for folder in folders}
    for path, text in sources.items():
        for indentation, name in DECLARATION.findall(text):
            own[place[path]].add(name)
            if not indentation:
                owners.setdefault(name, path)
    found = []
    for path, text in sources.items():
        for word in sorted(set(re.findall(r"\b[A-Z]\w*\b", text)) - own[place[path]]):
            owner = owners.get(word)
            if owner and folders.index(place[owner]) > folders.index(place[path]):
                found.append(f"{module}/{path} uses {word} of {owner}")
    return found


def imports_elsewhere():
    """Lines that say which file imports a module without being its door."""
    root = pathlib.Path(__file__).resolve().parent.parent / "Sources"
    return [
        f"{path.relative_to(root)} imports {module}, which only {door} may"
        for module, door in DOORS.items() for path in sorted(root.rglob("*.swift"))
        if re.search(rf"^import {module}$", path.read_text(), re.MULTILINE) and root / door not in path.parents
    ]


def main():
    found = [line for module, folders in MODULES.items() for line in uses_that_run_up(module, folders)]
    found += imports_elsewhere()
    for line in found:
        print(line)
    sys.exit(1 if found else 0)


main()
