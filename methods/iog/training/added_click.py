"""The click that is added between two passes of the refinement network, while it is trained."""

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt

from ..guidance import INSIDE, OUTSIDE, with_click


def with_added_clicks(
    guidance: torch.Tensor, logits: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """Guidance with a click on each crop's largest error, a new tensor.

    guidance: (N, 2, side, side) in 0..255. logits: (N, 1, side, side); the prediction is object
    where they are positive. mask: (N, 1, side, side), object above 0.5. The click is on the wrong
    pixel farthest from all correct ones (pixels beyond the crop do not count as correct), positive
    on a false negative; a crop without error gets no click.
    """
    predicted = (logits.detach() > 0)[:, 0].cpu().numpy()
    wanted = (mask > 0.5)[:, 0].cpu().numpy()
    maps = guidance.detach().float().cpu().numpy()
    added = [_added(*each) for each in zip(maps, predicted, wanted, strict=True)]
    return torch.from_numpy(np.stack(added)).to(guidance)


def _added(maps: np.ndarray, predicted: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    error = predicted ^ wanted
    if not error.any():
        return maps
    depth = np.asarray(distance_transform_edt(error))
    row, column = divmod(int(depth.argmax()), depth.shape[1])
    return with_click(maps, (row, column), INSIDE if wanted[row, column] else OUTSIDE)
