"""One picture of a run: a bar for each figure, its rounds as dots, its target as a line."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from tests.benchmarks.figure import Figure

_COLOURS = {True: "#2e7d32", False: "#c62828", None: "#546e7a"}
_TALL = 0.34


def draw_figures(file: Path, figures: Sequence[Figure], known: Mapping[str, str]) -> None:
    """Write a PNG with one panel for each measurement and unit, as only those compare.

    Args:
        file: Where to.
        figures: Those without rounds are left out.
        known: The conditions, shown below.
    """
    import matplotlib as mpl  # type: ignore[import-not-found,unused-ignore]  # an extra of this alone

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # type: ignore[import-not-found,unused-ignore]  # as above

    shown = sorted((each for each in figures if each.rounds), key=_panel)
    panels = [(name, list(group)) for name, group in groupby(shown, key=_panel)]
    if not panels:
        return
    heights = [len(group) + 1.5 for _, group in panels]
    picture, axes = plt.subplots(
        len(panels),
        1,
        figsize=(11, _TALL * sum(heights) + 2),
        height_ratios=heights,
        squeeze=False,
        layout="constrained",
    )
    for axis, ((measurement, unit), group) in zip(axes[:, 0], panels, strict=True):
        _bars(axis, group, f"{measurement} ({unit})" if unit else measurement)
    picture.suptitle("\n".join(f"{name}: {value}" for name, value in known.items()), fontsize=7)
    picture.savefig(file, dpi=110)
    plt.close(picture)


def _panel(figure: Figure) -> tuple[str, str]:
    return figure.name.partition(":")[0], figure.unit


def _bars(axis: Any, group: Sequence[Figure], title: str) -> None:
    places = range(len(group), 0, -1)
    axis.barh(
        places,
        [each.value for each in group],
        color=[_COLOURS[each.met] for each in group],
        height=0.6,
    )
    for place, each in zip(places, group, strict=True):
        axis.plot(each.rounds, [place] * len(each.rounds), "k.", markersize=4)
        bound = re.search(r"[\d.]+", each.target)
        if bound:
            axis.plot([float(bound[0])] * 2, [place - 0.4, place + 0.4], color="black", linewidth=2)
    names = [each.name.partition(": ")[2] for each in group]
    axis.set_yticks(places, names, fontsize=7)
    axis.tick_params(axis="x", labelsize=7)
    axis.set_title(title, loc="left", fontsize=9)
