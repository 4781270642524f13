"""The chart: throughput against nbdfuse, on the servers' main path, as an SVG that gnuplot draws."""

import subprocess

from .clients import NBDFUSE, RIVALS
from .targets import GROUP

SCRIPT = """
set terminal svg size 1100,{height} font 'sans-serif,13' background '#ffffff'
set output
set title "Throughput against nbdfuse (= 1): median of the rounds, least to most\\nnbdkit memory, Unix socket"
set style data histogram
set style histogram errorbars gap 1 linewidth 1
set style fill solid 0.85
set logscale y 2
set yrange [{least}:{most}]
set ytics add (0.25, 0.5, 1, 2, 4, 8, 16, 32)
set grid ytics
set key top left
set xtics rotate by -40 scale 0
set arrow 1 from graph 0, first 1 to graph 1, first 1 nohead lw 2 lc rgb '#444444'
$ratios << END
{data}
END
plot {plots}
"""
COLOURS = ("#1f6fb4", "#8fc1e3", "#c8641e")


def draw(path, summary, groups):
    """Draws what was measured; False where there is nothing to draw."""
    workloads = [workload for group in groups if group.name == GROUP for workload in group.workloads]
    clients = [client for client in RIVALS if client != NBDFUSE]
    lines, values = [], []
    for workload in workloads:
        spreads = [summary.ratio(GROUP, workload.name, client, NBDFUSE) for client in clients]
        if any(spread is None for spread in spreads):
            continue
        cells = [cell for spread in spreads for cell in (spread.median, spread.least, spread.most)]
        lines.append(" ".join([workload.name, *(f"{cell:.4f}" for cell in cells)]))
        values += cells
    if not lines:
        return False
    plots = ", ".join(
        f"$ratios using {2 + 3 * place}:{3 + 3 * place}:{4 + 3 * place}" + (":xtic(1)" if place == 0 else "")
        + f" title '{client}' lc rgb '{COLOURS[place]}'"
        for place, client in enumerate(clients))
    script = SCRIPT.format(
        height=520, least=min(0.25, min(values) / 1.2), most=max(2, max(values) * 1.5), data="\n".join(lines), plots=plots)
    drawn = subprocess.run(["gnuplot"], input=script, capture_output=True, text=True, check=True)
    path.write_text(drawn.stdout)
    return True
