"""The guided filter (He et al., Guided Image Filtering, ECCV 2010), grey guide, on tensors."""

import torch


def guided_filter(
    guide: torch.Tensor, target: torch.Tensor, radius: int, eps: float
) -> torch.Tensor:
    """`target` smoothed while keeping the edges of `guide`.

    guide, target: (N, 1, H, W) of one dtype; H and W greater than 2 * radius + 1. radius: of the
    square window, in pixels. eps: the regulariser, in squared units of the guide.

    Window sums are differences of cumulative sums over the whole image, in the tensors' own
    precision: with a tiny eps the result depends on that rounding, and a released network was
    trained with it (Wu et al., Fast End-to-End Trainable Guided Filter, CVPR 2018).
    """
    count = _window_sum(torch.ones_like(guide[:1]), radius)

    def mean(x: torch.Tensor) -> torch.Tensor:
        return _window_sum(x, radius) / count

    guide_mean, target_mean = mean(guide), mean(target)
    covariance = mean(guide * target) - guide_mean * target_mean
    variance = mean(guide * guide) - guide_mean * guide_mean
    slope = covariance / (variance + eps)
    offset = target_mean - slope * guide_mean
    return mean(slope) * guide + mean(offset)


def _window_sum(x: torch.Tensor, radius: int) -> torch.Tensor:
    """Sums over (2 * radius + 1)^2 windows cut at the border: down the columns, then along rows."""
    return _line_sum(_line_sum(x, 2, radius), 3, radius)


def _line_sum(x: torch.Tensor, dim: int, radius: int) -> torch.Tensor:
    size, width = x.shape[dim], 2 * radius + 1
    total = x.cumsum(dim)
    head = total.narrow(dim, radius, radius + 1)
    middle = total.narrow(dim, width, size - width) - total.narrow(dim, 0, size - width)
    last = total.narrow(dim, size - 1, 1)
    tail = last - total.narrow(dim, size - width, radius)
    return torch.cat([head, middle, tail], dim)
