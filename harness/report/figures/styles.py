"""How each method is drawn: the same colour, marker and dash in every figure of a report."""

from collections.abc import Mapping
from dataclasses import dataclass

from ...store.manifest import MethodEntry

#: Okabe and Ito's colours (2008), distinct in every common form of colour blindness; their yellow
#: is left out, since it vanishes on white paper.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00")
#: The same hues where the paper is nearly black.
DARK_COLOURS = ("#5AA9F2", "#FF8A4C", "#35C79A", "#EBA3CC", "#E8E8E8", "#A5DAFA", "#F5BE4F")
#: In grey, lines differ by markers and dashes. Lengths without a common factor with the colours'
#: give 7 * 9 = 63 pairs before one is repeated.
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
#: Strokes and gaps in multiples of the line's width; () is a solid line.
DASHES = ((), (5, 1.5), (1.5, 1.2), (5, 1.2, 1.2, 1.2))
BOUND_COLOUR, BOUND_DASH = "#777777", (1, 1)


@dataclass(frozen=True)
class Style:
    """How the line of one method is drawn. dash: as DASHES has it."""

    colour: str
    dark_colour: str
    marker: str
    dash: tuple[float, ...]
    width: float = 1.6


def styles(methods: Mapping[str, MethodEntry]) -> dict[str, Style]:
    """A style for each method, in the order given; bounds that see the truth are thin grey."""
    chosen: dict[str, Style] = {}
    number = 0
    for name, entry in methods.items():
        if entry.sees_truth:
            chosen[name] = Style(BOUND_COLOUR, "#999999", "", BOUND_DASH, 1.0)
            continue
        chosen[name] = Style(
            COLOURS[number % len(COLOURS)],
            DARK_COLOURS[number % len(COLOURS)],
            MARKERS[number % len(MARKERS)],
            DASHES[number % len(DASHES)],
        )
        number += 1
    return chosen
