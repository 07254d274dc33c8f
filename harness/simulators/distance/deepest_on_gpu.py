"""Exact squared depths of many regions at once, with a few tensor operations on any device.

The transform is separable (Meijster, Roerdink, Hesselink, A General Algorithm for Computing
Distance Transforms in Linear Time, 2000; Felzenszwalb, Huttenlocher, Distance Transforms of
Sampled Functions, 2012). Along a column the nearest pixel outside is found by running extrema; the
square of a pixel's depth is then the least g(x + k) ** 2 + k ** 2 over the columns x + k of its
row, g being the depth in the column. Both papers find that lower envelope by a scan, pixel after
pixel. Here all shifts k that can matter are compared at once: more arithmetic, but two operations.

To look for the deepest pixels, not all of a frame is compared. Blocks of 4 x 4 pixels come first,
as in `depth`: they are transformed at a 64th of the cost, and tell the depth of every pixel to
within 3 * sqrt(2). Only blocks that can hold a deepest pixel of their map are looked at in full.
How many there are, and how deep, is the one thing that the processor must learn on the way.

Everything is integers (int32: sides up to 65,000 pixels), but for the bounds of blocks, which have
room for rounding. The operations are chosen for a GPU; no GPU has timed them yet.
"""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

#: Side of a block, and how far two pixels of one can be apart, with room for rounding.
_BLOCK = 4
_ACROSS = (_BLOCK - 1) * math.sqrt(2) + 1e-3
#: Values compared in one operation: 128 MiB of int32.
_AT_ONCE = 2**25


def squared_depths(regions: "Tensor") -> "Tensor":
    """The squared distance of every pixel of a region to the nearest pixel outside it.

    regions: (B, H, W) bool, on any device; outside the image counts as outside. Returns (B, H, W)
    int32 on the same device, 0 outside the region. The device is waited for once: for the box that
    holds all regions, and for the largest depth along a row or a column, which bounds the shifts.
    """
    import torch

    found = torch.zeros_like(regions, dtype=torch.int32)
    if not regions.numel():
        return found
    columns = _column_depths(regions)
    rows = _column_depths(regions.mT).mT
    anywhere = regions.any(dim=0)
    bound = torch.minimum(columns, rows).amax().reshape(1)
    ends = torch.cat([_ends(anywhere.any(dim=1)), _ends(anywhere.any(dim=0)), bound])
    top, bottom, left, right, reach = ends.tolist()
    if reach:
        box = (slice(None), slice(top, bottom), slice(left, right))
        found[box] = _envelope(columns[box], reach)
    return found


def deepest_pixels(regions: "Tensor", avoid: Iterable[tuple[int, int, int]] = ()) -> "Tensor":
    """Of each map the largest squared depth, the first pixel that has it, and how many have it.

    regions: (N, H, W) bool, on any device; outside the image counts as outside. avoid: (map, y, x)
    pixels that do not count, as if their depth were zero; others may be farthest from them all the
    same. Returns (N, 3) int64 on the same device: squared depth, y * W + x of the first in
    row-major order, number of equals; all 0 where no pixel counts. The device is waited for once.
    """
    import torch

    height, width = regions.shape[1:]
    # One pixel outside the image on every side, or more where blocks need it.
    framed = torch.nn.functional.pad(
        regions, (1, 1 + -(width + 2) % _BLOCK, 1, 1 + -(height + 2) % _BLOCK)
    )
    counted = _without(framed, avoid, height, width)
    blocks = _candidates(framed, counted)
    at, reach = _listed(*blocks)
    maps, by_row, by_column = blocks[0].shape
    results = regions.new_zeros((maps, 3), dtype=torch.int64)
    if not at.numel():
        return results
    squared = torch.where(_cut(counted, at), _depths_of_blocks(framed, at, reach), 0)

    steps = torch.arange(_BLOCK, device=at.device)
    top = at // by_column % by_row * _BLOCK - 1
    left = at % by_column * _BLOCK - 1
    pixels = (top[:, None, None] + steps[:, None]) * width + (left[:, None, None] + steps)

    def spread(values: "Tensor", empty: int) -> "Tensor":
        """Values of the listed blocks as (N, blocks), so that no two threads write to one place."""
        whole = torch.full_like(blocks[0], empty, dtype=torch.int64).flatten()
        return whole.scatter(0, at, values.long()).view(maps, -1)

    results[:, 0] = spread(squared.amax(dim=(1, 2)), 0).amax(dim=1)
    deepest = results[:, 0][at // (by_row * by_column)]
    equal = (squared == deepest[:, None, None]) & (squared > 0)
    beyond = height * width
    first = torch.where(equal, pixels, beyond).amin(dim=(1, 2))
    # Where nothing counts the first is beyond the image; it is told as 0.
    results[:, 1] = spread(first, beyond).amin(dim=1) % beyond
    results[:, 2] = spread(equal.sum(dim=(1, 2)), 0).sum(dim=1)
    return results


def _column_depths(regions: "Tensor") -> "Tensor":
    """(B, H, W) int16, or int32 where H asks for it: how far the nearest pixel outside in the same
    column is."""
    import torch

    height = regions.shape[1]
    # Half the bytes to move, which is what the time is spent on.
    kind = torch.int16 if height < 2**15 - 1 else torch.int32
    rows = torch.arange(1, height + 1, dtype=kind, device=regions.device)[:, None]
    above = torch.where(regions, 0, rows).cummax(dim=1).values
    below = torch.where(regions, height + 1, rows).flip(1).cummin(dim=1).values.flip(1)
    return torch.minimum(rows - above, below - rows)


def _ends(used: "Tensor") -> "Tensor":
    """(2,) int64: where the true values of (N,) bool begin and end; (N, 0) when there are none."""
    import torch

    index = torch.arange(len(used), device=used.device)
    return torch.stack(
        [torch.where(used, index, len(used)).amin(), torch.where(used, index + 1, 0).amax()]
    )


def _envelope(columns: "Tensor", reach: int) -> "Tensor":
    """(B, h, w) int32 squared depths from those in columns, none of which exceeds reach ** 2."""
    import torch

    shape = columns.shape
    framed = torch.nn.functional.pad(columns, (reach, reach)).flatten(0, 1)
    result = torch.empty(framed.shape[0], shape[2], dtype=torch.int32, device=columns.device)
    rows = max(1, _AT_ONCE // (shape[2] * (2 * reach + 1)))
    for some, kept in zip(framed.split(rows), result.split(rows), strict=True):
        kept.copy_(_least_over_shifts(some, reach))
    return result.view(shape)


def _least_over_shifts(columns: "Tensor", most: int) -> "Tensor":
    """(..., w) int32: the least columns[x + k] ** 2 + k ** 2, of columns (..., w + 2 * most)."""
    import torch

    shifts = torch.arange(-most, most + 1, dtype=torch.int32, device=columns.device)
    squares = columns.int().square()
    return (squares.unfold(-1, 2 * most + 1, 1) + shifts.square()).amin(dim=-1)


def _without(
    framed: "Tensor", avoid: Iterable[tuple[int, int, int]], height: int, width: int
) -> "Tensor":
    """The pixels that count: those of framed regions but the avoided."""
    import torch

    across = framed.shape[2]
    places = [
        (number * framed.shape[1] + y + 1) * across + x + 1
        for number, y, x in avoid
        if 0 <= y < height and 0 <= x < width
    ]
    if not places:
        return framed
    # Without waiting: a copy that blocks would wait for all that the device has been given.
    index = torch.tensor(places).to(framed.device, non_blocking=True)
    return framed.flatten().index_fill(0, index, False).view_as(framed)


def _blocks(framed: "Tensor") -> "Tensor":
    """(N, by_row, 4, by_column, 4): a view of framed maps block by block."""
    maps, height, width = framed.shape
    return framed.view(maps, height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK)


def _candidates(framed: "Tensor", counted: "Tensor") -> tuple["Tensor", "Tensor"]:
    """Which blocks can hold a deepest pixel, and by how many blocks each is within its region.

    Two (N, by_row, by_column) tensors, bool and int32; the second holds squares. Where blocks are D
    apart, their pixels are between 4 * D - 3 * sqrt(2) and 4 * D + 3 * sqrt(2) apart.
    """
    whole = _blocks(framed).all(dim=4).all(dim=2)
    # The blocks at the frame's edges are never whole, so the middle of the shorter side is deepest.
    squared = _envelope(_column_depths(whole), (min(whole.shape[1:]) - 1) // 2)
    depth = _BLOCK * squared.double().sqrt()
    untouched = whole if counted is framed else _blocks(counted).all(dim=4).all(dim=2)
    least = (depth * untouched).amax(dim=(1, 2), keepdim=True) - _ACROSS
    some = _blocks(counted).any(dim=4).any(dim=2)
    return some & (depth + _ACROSS >= least), squared


def _listed(candidates: "Tensor", squared: "Tensor") -> tuple["Tensor", int]:
    """The places of candidates in the flattened blocks, (M,) int64, and a bound on their depth in
    pixels. Here the device is waited for."""
    import torch

    counts = candidates.flatten().cumsum(0)
    many, farthest = torch.stack([counts[-1], (squared * candidates).amax().long()]).tolist()
    places = torch.searchsorted(counts, torch.arange(1, many + 1, device=counts.device))
    return places, math.floor(_BLOCK * math.sqrt(farthest) + _ACROSS)


def _cut(framed: "Tensor", at: "Tensor") -> "Tensor":
    """(M, 4, 4): the blocks of framed maps at some places."""
    return _windows(framed, at, 0)


def _windows(framed: "Tensor", at: "Tensor", margin: int) -> "Tensor":
    """(M, 4, 4 + 2 * margin): blocks with columns to the left and right; the frame's last column
    stands for those beyond it."""
    import torch

    width = framed.shape[2]
    by_column = width // _BLOCK
    # Blocks are counted through all maps, and so are rows.
    rows = at // by_column * _BLOCK
    steps = torch.arange(_BLOCK, device=at.device)
    reach = torch.arange(-margin, _BLOCK + margin, device=at.device)
    columns = ((at % by_column * _BLOCK)[:, None] + reach).clamp(0, width - 1)
    places = (rows[:, None] + steps)[:, :, None] * width + columns[:, None, :]
    return framed.flatten()[places]


def _depths_of_blocks(framed: "Tensor", at: "Tensor", reach: int) -> "Tensor":
    """(M, 4, 4) int32: squared depths in some blocks, none of which exceeds reach ** 2."""
    import torch

    columns = _column_depths(framed)
    # A column beyond the frame is taken for its edge, which is outside the region and nearer.
    many = max(1, _AT_ONCE // (_BLOCK * _BLOCK * (2 * reach + 1)))
    return torch.cat(
        [_least_over_shifts(_windows(columns, some, reach), reach) for some in at.split(many)]
    )
