import numpy as np
import torch

from isegbench.methods.nets.psp import PyramidPooling


def test_a_linear_pyramid_by_hand():
    """One bin of the whole image and one of 2 x 2, no normalisation, against plain NumPy."""
    net = PyramidPooling(2, 1, 3, bins=(1, 2)).eval()
    generator = torch.Generator().manual_seed(0)
    convolutions = [part for part in net.modules() if isinstance(part, torch.nn.Conv2d)]
    assert len(convolutions) == 3, "two stages and the bottleneck"
    for conv in convolutions:
        conv.weight.data = torch.rand(conv.weight.shape, generator=generator)
    features = torch.rand(1, 2, 4, 6, generator=generator)
    with torch.inference_mode():
        found = net(features)[0].numpy()

    x = features[0].numpy().astype(float)
    first, second = (conv.weight[0, :, 0, 0].detach().numpy() for conv in convolutions[:2])
    scale = 1 / np.sqrt(1 + 1e-5)  # batch normalisation as it begins: mean 0, variance 1
    whole = np.full((4, 6), (first * x.mean((1, 2))).sum() * scale)
    halves = x.reshape(2, 2, 2, 2, 3).mean((2, 4))
    grid = np.tensordot(second, halves, 1) * scale
    rows, columns = np.linspace(0, 1, 4)[:, None], np.linspace(0, 1, 6)[None]
    corners = (
        grid[0, 0] * (1 - rows) * (1 - columns)
        + grid[0, 1] * (1 - rows) * columns
        + grid[1, 0] * rows * (1 - columns)
        + grid[1, 1] * rows * columns
    )
    joined = np.stack([whole, corners, *x])
    weight = convolutions[2].weight[:, :, 0, 0].detach().numpy()
    np.testing.assert_allclose(found, np.tensordot(weight, joined, 1) * scale, rtol=1e-5)
