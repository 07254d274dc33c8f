"""The modes of BRS, against one session's refinement written out here."""

import itertools

import numpy as np
import pytest
import torch
from scipy.optimize import fmin_l_bfgs_b
from torch import nn

from isegbench.harness.method import Session
from isegbench.harness.types import Click
from isegbench.methods.click_networks.brs import BrsSettings
from isegbench.methods.click_networks.refined_method import RefinedMethod
from isegbench.methods.nets.click_maps import points_tensor
from isegbench.methods.nets.click_network import ClickEncoding, ClickNetwork
from isegbench.methods.processing.zoom_in import ZoomIn
from isegbench.methods.runtime.execution import Execution

MODES = ("RGB-BRS", "DistMap-BRS", "f-BRS-A", "f-BRS-B", "f-BRS-C")
SIZE = (36, 44)
CPU = torch.device("cpu")
pytestmark = pytest.mark.timeout(120)


class Trunk(nn.Module):
    """Two convolutions and a way around the second, to be cut after the first or the second."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.deep = nn.Conv2d(8, 6, 3, padding=1)

    def cut_channels(self, cut):
        return {"stem": 8, "deep": 6}[cut]

    def before(self, x, added, cut):
        stem = self.stem(x).tanh()
        return (stem, None) if cut == "stem" else (self.deep(stem).tanh(), stem)

    def after(self, features, carried, cut):
        if cut == "stem":
            features, carried = self.deep(features).tanh(), features
        return torch.cat([features, carried], dim=1)


class Bare(RefinedMethod):
    """The method around that network, with weights from a seed."""

    def __init__(self, mode, *, zoom=None, flip=True, clicks_shown=None):
        torch.manual_seed(13)
        network = ClickNetwork(
            Trunk(),
            nn.Sequential(nn.Conv2d(14, 8, 1), nn.Tanh(), nn.Conv2d(8, 1, 1)),
            {"A": "stem", "B": "deep", "C": "deep"},
            ClickEncoding(disks=False, radius=20),
            fusion="early",
        )
        for parameter in network.parameters():
            parameter.data *= 3
        super().__init__(
            network,
            mode=mode,
            execution=Execution(CPU),
            zoom=zoom,
            zoom_target=None,
            flip=flip,
            clicks_shown=clicks_shown,
            brs=BrsSettings(),
        )

    def prepare(self, image):
        return image.float().div(255)


class Plain:
    """BRS of one session as one function after the other, independent of the package's `brs`."""

    def __init__(self, method):
        self.method, self.network, self.kept = method, method.network, {}

    @torch.no_grad()
    def predict(self, session, start):
        """(logits with the mirrored copy last, where the search ended)."""
        method, network, mode = self.method, self.network, self.method.mode
        view = method.look(session)
        image = view.take(session.memory["click"].image)
        clicks = view.points([(c.y, c.x, c.kind == "positive") for c in session.clicks])
        width = image.shape[3]
        batch, images = [clicks], image
        if method.flip:
            batch = [clicks, [(y, width - x - 1, sign) for y, x, sign in clicks]]
            images = torch.cat([image, image.flip(3)], dim=0)
        self.copies, self.size = len(images), images.shape[2:]
        rgb, maps = network.inputs(images, points_tensor(batch, method.clicks_shown))
        shown, many = method.clicks_shown, len(clicks)
        if mode.startswith("f-BRS"):
            place = mode[-1]
            kept = self.kept.get(id(session))
            if many <= shown or kept is None or view.changed:
                kept = network.before(rgb, maps, place)
            self.kept[id(session)] = kept if many >= shown else None
            count = 2 * network.channels(place)
            features, carried = kept
            compute = self.on_features(features, carried, place)
        else:
            channels = 3 if mode == "RGB-BRS" else 2
            count = channels * image[0, 0].numel()
            start = None if view.changed else start
            compute = self.on_input(rgb, maps, (1, channels, *self.size))
        if start is None or start.size != count:
            start = np.zeros(count)
        if many == 1:
            return compute(torch.from_numpy(start).float())[0], start, 0
        return self.search(compute, start, self.squares(batch))

    def on_features(self, features, carried, place):
        def compute(flat):
            scale, bias = flat.chunk(2)
            penalty = 1e-3 * ((scale**2).sum() + 10.0 * (bias**2).sum())
            scale, bias = (1 + scale.view(1, -1, 1, 1)), bias.view(1, -1, 1, 1)
            scale, bias = (v.repeat(self.copies, 1, 1, 1) for v in (scale, bias))
            logits = self.network.after(features * scale + bias, carried, place, self.size)
            return logits, penalty

        return compute

    def on_input(self, rgb, maps, shape):
        def compute(flat):
            bias = flat.view(*shape)
            if self.copies == 2:
                bias = torch.cat([bias, bias.flip(3)], dim=0)
            picture, drawn = (rgb + bias, maps) if shape[1] == 3 else (rgb, maps + bias)
            features, carried = self.network.before(picture, drawn, "C")
            logits = self.network.after(features, carried, "C", self.size)
            return logits, 1e-3 * (bias**2).sum()

        return compute

    def squares(self, batch):
        maps = np.zeros((2, len(batch), 1, self.size[0], self.size[1]), np.float32)
        for index, clicks in enumerate(batch):
            for y, x, sign in clicks:
                rows = slice(round(y) - 1, round(y) + 2)
                maps[0 if sign else 1, index, 0, rows, round(x) - 1 : round(x) + 2] = 1
        return torch.from_numpy(maps)

    def search(self, compute, start, squares):
        positive, negative = squares
        best, mask, evaluations = [], None, 0

        def evaluate(x):
            nonlocal best, mask, evaluations
            evaluations += 1
            flat = torch.from_numpy(x).float().requires_grad_(True)
            with torch.enable_grad():
                logits, penalty = compute(flat)
                p = logits.sigmoid()
                missed, spilled = (1 - p) * positive, p * negative
                loss = (missed**2).sum() / (positive.sum() + 1e-5)
                loss = loss + (spilled**2).sum() / (negative.sum() + 1e-5) + penalty
            value = float(loss.detach())
            if not best or value < best[0]:
                best = [value, logits.detach()]
            if float(missed.detach().max()) < 1 - 0.49 and float(spilled.detach().max()) < 0.49:
                return value, np.zeros_like(x)
            new = p.detach() > 0.49
            if mask is not None:
                union = (mask | new).flatten(1).float().mean(dim=1)
                common = (mask & new).flatten(1).float().mean(dim=1)
                ious = common[union > 0] / union[union > 0]
                if len(ious) and float(ious.mean()) > 0.99:
                    return value, np.zeros_like(x)
            mask = new
            (gradient,) = torch.autograd.grad(loss, flat)
            return value, gradient.numpy().astype(np.float64)

        end, _, _ = fmin_l_bfgs_b(evaluate, start, m=20, factr=0, pgtol=1e-8, maxfun=20, maxiter=40)
        return best[1], end, evaluations

    def probabilities(self, session, logits):
        if self.method.flip:
            logits = 0.5 * (logits[:1] + logits[1:].flip(3))
        view = self.method.look(session)
        return view.paste(logits.sigmoid(), session.shape)[0, 0].clamp(0, 1)


def user(seed, method, size=SIZE):
    """(session without clicks, the eight clicks to come, near the object and away from it)."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 120, (*size, 3), dtype=np.uint8)
    image[8:25, 10:30] += 120
    clicks = [
        Click(int(rng.integers(10, 23)), int(rng.integers(12, 28)), "positive")
        if k % 2 == 0
        else Click(int(rng.integers(2, 34)), int(rng.integers(32, 42)), "negative")
        for k in range(8)
    ]
    session = Session(image, (), seed=seed)
    method.begin(session)
    return session, clicks


def predicted(method, session) -> torch.Tensor:
    """The map of one session; it stays on the device."""
    (found,) = method.predict([session])
    assert isinstance(found, torch.Tensor)
    return found


def users(method, count=3):
    return [user(seed, method) for seed in range(count)]


@pytest.mark.parametrize("flip", [True, False])
@pytest.mark.parametrize("mode", MODES)
def test_a_session_is_refined_to_the_bit_as_the_plain_search_does(mode, flip):
    total = 0
    for zoom, seed in itertools.product((None, ZoomIn(target=32, min_crop=16)), (0, 1)):
        method = Bare(mode, flip=flip, zoom=zoom, clicks_shown=2)
        before, start = Plain(method), None
        session, clicks = user(seed, method)
        for many in range(1, 5):
            session.clicks = tuple(clicks[:many])
            logits, start, evaluations = before.predict(session, start)
            expected = before.probabilities(session, logits)
            found = predicted(method, session)
            assert torch.equal(found, expected), f"{many} clicks"
            session.previous = found
            total += evaluations
    assert total > 12, "each of the twelve refinements ended at its first evaluation"


@pytest.mark.parametrize("mode", MODES)
def test_a_batch_gives_each_session_what_it_gives_alone_to_the_bit(mode):
    """With different numbers of clicks; one session has its first click only."""
    method = Bare(mode)

    def sessions():
        made = users(method)
        for (session, clicks), count in zip(made, (1, 3, 2), strict=True):
            session.clicks = tuple(clicks[:count])
        return [session for session, _ in made]

    expected = [predicted(method, session) for session in sessions()]
    for found, one in zip(method.predict(sessions()), expected, strict=True):
        assert isinstance(found, torch.Tensor)
        assert torch.equal(found, one)


@pytest.mark.parametrize("mode", ["f-BRS-A", "f-BRS-B"])
def test_features_are_computed_again_only_while_clicks_are_shown(mode):
    """The network is shown two clicks; the features after the second are kept."""
    method = Bare(mode, clicks_shown=2)
    stems = []
    stem = method.network.get_submodule("trunk.stem")
    stem.register_forward_hook(lambda _, args, __: stems.append(len(args[0])))
    session, clicks = user(0, method)
    for count, computed in ((1, [2]), (2, [2]), (3, []), (4, [])):
        session.clicks = tuple(clicks[:count])
        stems.clear()
        method.predict([session])
        assert stems == computed, f"{count} clicks"


def test_features_stay_valid_after_an_emptied_prediction():
    """Then the view is the whole image and the features are the crop's: as released."""
    method = Bare("f-BRS-B", zoom=ZoomIn(target=32, min_crop=16), clicks_shown=2)
    plain, start = Plain(method), None
    session, clicks = user(0, method)
    box = np.zeros(SIZE, np.float32)
    box[8:25, 10:30] = 0.9
    sizes = []
    for count, previous in ((2, box), (3, np.zeros(SIZE, np.float32))):
        session.clicks, session.previous = tuple(clicks[:count]), previous
        sizes.append(method.batch_key(session))
        logits, start, _ = plain.predict(session, start)
        expected = plain.probabilities(session, logits)
        assert torch.equal(predicted(method, session), expected)
    assert sizes[0] != sizes[1] == SIZE


@pytest.mark.parametrize("mode", MODES)
def test_a_full_memory_is_raised_as_it_is_and_the_session_can_be_tried_again(mode):
    method, fresh = Bare(mode, clicks_shown=2), Bare(mode, clicks_shown=2)
    error = torch.OutOfMemoryError("CUDA out of memory")
    calls = []

    def full(_, args, __):
        calls.append(1)
        if len(calls) == 2:
            raise error

    hook = method.network.head.register_forward_hook(full)
    (session, clicks), (other, _) = user(0, method), user(0, fresh)
    session.clicks = other.clicks = tuple(clicks[:3])
    with pytest.raises(torch.OutOfMemoryError) as caught:
        method.predict([session])
    assert caught.value is error
    hook.remove()
    assert torch.equal(predicted(method, session), predicted(fresh, other))
