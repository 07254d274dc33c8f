"""Solving with the Laplacian of an image's 4-neighbour grid: multigrid-preconditioned CG.

Only element-wise NumPy and its own sums are used, never BLAS, so that a solution does not depend
on the number of threads.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class GridLaplacian:
    """The operator u -> extra * u + sum over neighbours q of w_pq (u_p - u_q).

    right: (H, W - 1) weights between a pixel and the one to its right. down: (H - 1, W) between a
    pixel and the one below. extra: (H, W), added to the diagonal.
    """

    right: np.ndarray
    down: np.ndarray
    extra: np.ndarray

    def neighbours(self, u: np.ndarray) -> np.ndarray:
        """(H, W): sum over neighbours of w_pq u_q."""
        out = np.zeros_like(u)
        out[:, :-1] += self.right * u[:, 1:]
        out[:, 1:] += self.right * u[:, :-1]
        out[:-1] += self.down * u[1:]
        out[1:] += self.down * u[:-1]
        return out

    def diagonal(self) -> np.ndarray:
        """(H, W): the operator's diagonal."""
        return self.extra + self.neighbours(np.ones_like(self.extra))

    def coarser(self) -> "GridLaplacian":
        """The Galerkin operator on blocks of 2 x 2 pixels that share one value."""
        return GridLaplacian(
            _pairs(self.right[:, 1::2], 0), _pairs(self.down[1::2], 1), _blocks(self.extra)
        )


class VCycle:
    """One multigrid V-cycle: a symmetric positive definite approximate inverse of the operator.

    Damped Jacobi before and after (weight `damping`), blocks of 2 x 2 down to a single pixel. The
    correction from blocks of equal value is multiplied by `overcorrection`, which makes up for
    their being too stiff (Braess 1995, "Towards algebraic multigrid for elliptic problems of
    second order", uses 1.8 for such blocks).
    """

    def __init__(
        self, operator: GridLaplacian, damping: float = 0.8, overcorrection: float = 1.8
    ) -> None:
        self._overcorrection = overcorrection
        self._levels = []
        # Single precision is ample for a preconditioner, and moves half the memory.
        operator = GridLaplacian(
            operator.right.astype(np.float32),
            operator.down.astype(np.float32),
            operator.extra.astype(np.float32),
        )
        while True:
            diagonal = operator.diagonal()
            # A pixel that is cut off from all others is left at zero.
            inverse = np.divide(1, diagonal, out=np.zeros_like(diagonal), where=diagonal > 0)
            self._levels.append((operator, diagonal, inverse * damping, inverse))
            if diagonal.size == 1:
                break
            operator = operator.coarser()

    def __call__(self, residual: np.ndarray) -> np.ndarray:
        return self._descend(residual.astype(np.float32), 0).astype(residual.dtype)

    def _descend(self, residual: np.ndarray, level: int) -> np.ndarray:
        operator, diagonal, damped, inverse = self._levels[level]
        if level == len(self._levels) - 1:
            return residual * inverse
        u = damped * residual
        left = residual - diagonal * u + operator.neighbours(u)
        coarse = self._descend(_blocks(left), level + 1) * self._overcorrection
        height, width = u.shape
        u += np.repeat(np.repeat(coarse, 2, 0)[:height], 2, 1)[:, :width]
        left = residual - diagonal * u + operator.neighbours(u)
        u += damped * left
        return u


def solve(
    operator: GridLaplacian, b: np.ndarray, start: np.ndarray, tolerance: float, limit: int = 500
) -> tuple[np.ndarray, int]:
    """u with |b - A u| <= tolerance * |b|, by preconditioned conjugate gradients from `start`.

    Returns (u, iterations); stops at `limit` iterations whatever the residual.
    """
    if not b.any():
        return np.zeros(b.shape), 0
    precondition = VCycle(operator)
    diagonal = operator.diagonal()
    u = start.astype(float)
    residual = b - diagonal * u + operator.neighbours(u)
    enough = tolerance**2 * _dot(b, b)
    direction, rho = None, 0.0
    for iteration in range(limit):
        if _dot(residual, residual) <= enough:
            return u, iteration
        z = precondition(residual)
        rho, before = _dot(residual, z), rho
        direction = z if direction is None else z + (rho / before) * direction
        step = diagonal * direction - operator.neighbours(direction)
        alpha = rho / _dot(direction, step)
        u += alpha * direction
        residual -= alpha * step
    return u, limit


def _dot(a: np.ndarray, b: np.ndarray) -> float:
    return float((a * b).sum())


def _pairs(a: np.ndarray, axis: int) -> np.ndarray:
    """Sums of neighbouring pairs along an axis; an odd last one stays alone."""
    starts = np.arange(0, a.shape[axis], 2)
    if not a.size:
        return np.take(a, starts, axis)
    return np.add.reduceat(a, starts, axis)


def _blocks(a: np.ndarray) -> np.ndarray:
    return _pairs(_pairs(a, 0), 1)
