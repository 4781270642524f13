"""Function names for readers."""

import dataclasses
import subprocess


def readable(stacks):
    """The same samples, Swift's functions as Type.method(label:)."""
    mangled = sorted({
        frame.name for stack in stacks for frame in stack if not frame.is_kernel and frame.name.startswith("$s")})
    names = dict(zip(mangled, demangled(mangled), strict=True))
    result = type(stacks)()
    for stack, number in stacks.items():
        result[tuple(dataclasses.replace(frame, name=names.get(frame.name, frame.name)) for frame in stack)] += number
    return result


def demangled(names):
    done = subprocess.run(
        ["swift", "demangle", "--compact", "--simplified"],
        input="".join(f"{name}\n" for name in names), capture_output=True, text=True, check=True)
    return [shortened(line) for line in done.stdout.splitlines()]


def shortened(name):
    """`specialized` and its like say how the compiler made a function, not which it is."""
    for word in ("@objc ", "merged ", "generic specialization ", "specialized ", "protocol witness for "):
        name = name.replace(word, "")
    return name.partition(" in conformance ")[0]
