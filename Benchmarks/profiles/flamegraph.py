"""A flame graph: a box for each function that was on the stack, as wide as its share of the samples, above its caller."""

import dataclasses
from xml.sax.saxutils import escape

from .places import BUFFERS, COPYING, FAULTS, PINNING, SWITCHING, WAKING, kind_of
from .sampling import OWN, Frame

WIDTH, ROW, TOP = 1200, 16, 58
# Boxes narrower than this share of the picture show nothing but noise.
LEAST_SHARE = 0.003
CHARACTER = 6.3
COLOURS = {
    "user": "#a9cdec", "kernel": "#e4e1d9", COPYING: "#ec8f80", WAKING: "#f6cf62", PINNING: "#cbb0e6",
    FAULTS: "#f0acd0", SWITCHING: "#a2d69b", BUFFERS: "#dbb18a",
}
CLASSES = {colour: f"c{number}" for number, colour in enumerate(COLOURS)}


@dataclasses.dataclass
class Box:
    frame: Frame
    samples: int = 0
    callees: dict = dataclasses.field(default_factory=dict)

    def add(self, stack, number):
        self.samples += number
        box = self
        for frame in stack:
            box = box.callees.setdefault(frame, Box(frame))
            box.samples += number


def draw(title, stacks):
    """Returns the picture as SVG that needs nothing else."""
    root = Box(Frame(OWN))
    for stack, number in stacks.items():
        root.add(stack, number)
    boxes = list(place(root, root.samples, 0, 0, None))
    height = TOP + ROW * (1 + max(depth for _, _, depth, _ in boxes)) + 6
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">',
        f"<style>{style()}</style>",
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        f'<text x="8" y="22" class="title">{escape(title)}</text>',
        *legend(),
        *(draw_box(box, root.samples, x, height - 6 - ROW * (depth + 1), colour) for box, x, depth, colour in boxes),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def style():
    fills = "".join(f".{CLASSES[name]}{{fill:{colour}}}" for name, colour in COLOURS.items())
    return f"text{{font:10.5px monospace;fill:#111}}text.title{{font:bold 15px sans-serif}}rect{{stroke:#fff}}{fills}"


def legend():
    x = 8
    for name in COLOURS:
        yield f'<rect class="{CLASSES[name]}" x="{x}" y="34" width="14" height="14"/><text x="{x + 19}" y="45">{name}</text>'
        x += 40 + round(CHARACTER * len(name))


def place(box, total, before, depth, inherited):
    """Yields each box that is wide enough, its left edge, its height above the ground and its colour. What a function of
    some kind calls is coloured as that kind too, until a name says otherwise: the tables count samples the same way."""
    if box.samples < LEAST_SHARE * total:
        return
    kind = kind_of(box.frame) or inherited
    yield box, before / total * WIDTH, depth, kind or ("kernel" if box.frame.is_kernel else "user")
    for _, callee in sorted(box.callees.items(), key=lambda item: item[0].name):
        yield from place(callee, total, before, depth + 1, kind)
        before += callee.samples


def draw_box(box, total, x, y, colour):
    share = box.samples / total
    width = share * WIDTH
    name, characters = box.frame.name, int((width - 4) / CHARACTER)
    shown = name if len(name) <= characters else name[:characters - 2] + ".."
    text = f'<text x="{x + 2:.1f}" y="{y + 11.5}">{escape(shown)}</text>' if characters >= 4 else ""
    return (
        f'<g><title>{escape(name)}: {share:.1%}</title>'
        f'<rect class="{CLASSES[colour]}" x="{x:.1f}" y="{y}" width="{width:.1f}" height="{ROW}"/>{text}</g>')
