"""SAM and its kin: SAM, HQ-SAM, MobileSAM, SAM 2 and 2.1, EdgeTAM, SAM 3's tracker."""

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ...harness.errors import MethodError
from ...harness.method import Method, Paper, Session
from ...harness.metrics.scores import iou
from ...harness.types import Opening
from ..nets.sam import Prompts
from ..processing.boxes import box_of
from ..runtime.device import Device
from ..runtime.execution import Execution, Precision
from .sam_checkpoints import Family
from .sam_models import load_sam

Protocol = Literal["paper", "segnext", "rclicks"]
Multimask = Literal["first", "always", "never"]
MaskChoice = Literal["score", "first", "area", "oracle"]
FeedBack = Literal["logits", "none"]


class SAM(Method):
    """Segment Anything: the image is encoded once; clicks, a box and the last mask are prompts.

    weights: an original checkpoint's path or its name in `isegbench weights list`; a folder as
    transformers saves a model; or an id on the Hugging Face hub, such as
    facebook/sam2.1-hiera-tiny. opening: a box can be drawn (`box`), drawn with a click inside
    (`inside-outside`), or spanned by extreme points. protocol: what the parameters that are not
    given are: `paper` as the authors evaluate; `segnext` as SegNext's authors evaluate SAM;
    `rclicks` as RClicks' do. multimask: when three masks are requested instead of one: for a single
    click alone (`first`), always or never. mask_choice: which of three is taken: the one with the
    best predicted score, the first, the largest, or (`oracle`) the one with the best true IoU;
    HQ-SAM's first is the one with the best score. feed_back: whether the logits of the mask taken
    are a prompt of the next prediction. threshold: a pixel is object above this logit.
    stability_fallback: of SAM 2 and later: if one mask is requested and it is unstable, the
    best of three is taken instead; as released, true.
    hq_token_only: of HQ-SAM: its own mask alone, not added to SAM's. precision: in which the
    network computes. compiled: torch.compile translates it first.
    """

    paper = Paper(
        "Segment Anything",
        "Kirillov, Mintun, Ravi, Mao, Rolland, Gustafson, Xiao, Whitehead, Berg, Lo, Dollár, "
        "Girshick",
        2023,
        "https://arxiv.org/abs/2304.02643",
    )
    requires = ("transformers", "isegbench[sam]")

    def __init__(
        self,
        weights: str,
        *,
        opening: Opening = "click",
        protocol: Protocol = "paper",
        multimask: Multimask | None = None,
        mask_choice: MaskChoice | None = None,
        feed_back: FeedBack | None = None,
        threshold: float | None = None,
        stability_fallback: bool | None = None,
        hq_token_only: bool = False,
        device: Device = "auto",
        precision: Precision = "float32",
        compiled: bool = False,
    ) -> None:
        self.execution = Execution.of(device, precision, compiled, channels_last=None)
        loaded = load_sam(
            weights, hq_token_only=hq_token_only, stability_fallback=stability_fallback
        )
        self.weights = loaded.weights
        self.frame = loaded.frame
        self.network = self.execution.ready(loaded.network, ("encode", "decode"))
        self.opening = opening
        preset = _preset(protocol, loaded.family)
        self.multimask: Multimask = multimask or preset.multimask
        self.mask_choice: MaskChoice = mask_choice or preset.mask_choice
        self.feed_back = feed_back or preset.feed_back
        logit = preset.threshold if threshold is None else threshold
        self.threshold = 1 / (1 + math.exp(-logit))
        self.sees_truth = self.mask_choice == "oracle"
        self.paper = _PAPERS.get(loaded.family, SAM.paper)
        falls_back = (
            hasattr(loaded.network, "stability_fallback") and stability_fallback is not False
        )
        self.departures = (
            *self._choices(logit),
            *(["an unstable single mask is replaced by the best of three"] if falls_back else []),
            *(["HQ-SAM's own mask alone"] if hq_token_only else []),
            *self.execution.departures,
        )

    def _choices(self, logit: float) -> Iterator[str]:
        """What published rows of SAM differ in, in words."""
        yield _MULTIMASK[self.multimask]
        if self.multimask != "never":
            yield _MASK_CHOICE[self.mask_choice]
        yield (
            "the last mask's logits are "
            + ("" if self.feed_back == "logits" else "not ")
            + ("fed back")
        )
        yield f"object above logit {logit:.3g}"

    def begin(self, session: Session) -> None:
        session.memory["embedding"] = self._encode(session.image)

    def _encode(self, image: np.ndarray) -> tuple[Tensor, ...]:
        """What the network makes of an (H, W, 3) uint8 image, whatever is clicked: tensors of one
        image each, on the device."""
        pixels = self.frame.pixels(image).to(self.execution.device)
        with torch.inference_mode(), self.execution.computing():
            return tuple(level.float() for level in self.network.encode(pixels))

    def batch_key(self, session: Session) -> Hashable:
        """What must be alike: padding points would change the answer."""
        points, _ = _points(session)
        return len(points), _box(session) is not None, self._fed(session), self._three(session)

    def _fed(self, session: Session) -> bool:
        return self.feed_back == "logits" and "logits" in session.memory

    def _three(self, session: Session) -> bool:
        """Whether three masks are requested."""
        if self.multimask == "first":
            return len(_points(session)[0]) == 1 and _box(session) is None
        return self.multimask == "always"

    @torch.inference_mode()
    def predict(self, sessions: Sequence[Session]) -> list[Tensor]:
        levels = zip(*(session.memory["embedding"] for session in sessions), strict=True)
        embedding = tuple(torch.cat(level) for level in levels)
        with self.execution.computing():
            masks, scores = self.network.decode(
                embedding, self._prompts(sessions), self._three(sessions[0])
            )
        answers = zip(sessions, masks.float(), scores.float(), strict=True)
        return [self._finish(*answer) for answer in answers]

    def _prompts(self, sessions: Sequence[Session]) -> Prompts:
        device = self.execution.device
        points, labels, boxes, masks = [], [], [], []
        for session in sessions:
            xy, positive = _points(session)
            points.append(self.frame.coordinates(xy, session.shape)[None])
            labels.append(positive[None])
            box = _box(session)
            if box is not None:
                boxes.append(self.frame.coordinates(box, session.shape).reshape(1, 4))
            if self._fed(session):
                masks.append(session.memory["logits"])
        given = points[0].size > 0
        return Prompts(
            torch.from_numpy(np.stack(points)).to(device) if given else None,
            torch.from_numpy(np.stack(labels)).to(device) if given else None,
            torch.from_numpy(np.stack(boxes)).to(device) if boxes else None,
            torch.stack(masks) if masks else None,
        )

    def _finish(self, session: Session, masks: Tensor, scores: Tensor) -> Tensor:
        """(H, W) probabilities from (C, h, w) logits and their (C,) scores."""
        chosen = self._chosen(session, masks, scores)
        found = self.frame.in_image(masks[chosen : chosen + 1], session.shape)
        limit = self.network.limit
        session.memory["logits"] = masks[chosen : chosen + 1].clamp(-limit, limit)
        return torch.sigmoid(found[0])

    def _chosen(self, session: Session, masks: Tensor, scores: Tensor) -> int:
        """The index of the mask to take; of equals the first."""
        if len(masks) == 1 or self.mask_choice == "first":
            return 0
        if self.mask_choice == "score":
            return int(scores.argmax())
        objects = torch.sigmoid(self.frame.in_image(masks, session.shape)) > self.threshold
        if self.mask_choice == "area":
            return int(objects.sum((1, 2)).argmax())
        if session.truth is None:
            raise MethodError("mask_choice=oracle needs session.truth, which the engine fills")
        return int(np.argmax([iou(mask, session.truth) for mask in objects.cpu().numpy()]))


@dataclass(frozen=True)
class _Preset:
    """What a published evaluation chose. threshold: in logits."""

    multimask: Multimask
    mask_choice: MaskChoice = "score"
    feed_back: FeedBack = "logits"
    threshold: float = 0.0


def _preset(protocol: Protocol, family: Family) -> _Preset:
    if protocol == "paper":
        return _Preset("first")
    if protocol == "segnext":
        return _Preset("always")
    # RClicks' wrapper of SAM 2 requests one mask; in both a pixel is object above a probability of
    # 0.49.
    single = family in ("sam2", "edgetam", "sam3")
    return _Preset("never" if single else "always", threshold=math.log(0.49 / 0.51))


_MULTIMASK: dict[Multimask, str] = {
    "first": "three masks are asked for at a single click, one otherwise",
    "always": "three masks are always asked for",
    "never": "one mask is asked for",
}
_MASK_CHOICE: dict[MaskChoice, str] = {
    "score": "of three masks the one with the best predicted score is taken",
    "first": "of three masks the first is taken",
    "area": "of three masks the largest is taken",
    "oracle": "of three masks the one with the best true IoU is taken: the ground truth is seen",
}
_PAPERS: dict[Family, Paper] = {
    "sam-hq": Paper(
        "Segment Anything in High Quality",
        "Ke, Ye, Danelljan, Liu, Tai, Tang, Yu",
        2023,
        "https://arxiv.org/abs/2306.01567",
    ),
    "mobile-sam": Paper(
        "Faster Segment Anything: Towards Lightweight SAM for Mobile Applications",
        "Zhang, Han, Qiao, Kim, Bae, Lee, Hong",
        2023,
        "https://arxiv.org/abs/2306.14289",
    ),
    "sam2": Paper(
        "SAM 2: Segment Anything in Images and Videos",
        "Ravi, Gabeur, Hu, Hu, Ryali, Ma, Khedr, Rädle, Rolland, Gustafson, Mintun, Pan, Alwala, "
        "Carion, Wu, Girshick, Dollár, Feichtenhofer",
        2024,
        "https://arxiv.org/abs/2408.00714",
    ),
    "edgetam": Paper(
        "EdgeTAM: On-Device Track Anything Model",
        "Zhou, Zhu, Xiong, Suri, Xiao, Wu, Krishnamoorthi, Dai, Loy, Chandra, Soran",
        2025,
        "https://arxiv.org/abs/2501.07256",
    ),
    "sam3": Paper(
        "SAM 3: Segment Anything with Concepts",
        "Carion et al.",
        2025,
        "https://arxiv.org/abs/2511.16719",
    ),
}


def _points(session: Session) -> tuple[np.ndarray, np.ndarray]:
    """(N, 2) float64 (x, y) of the clicks on object and background, and (N,) int64 1 or 0."""
    clicks = [click for click in session.clicks if click.kind in ("positive", "negative")]
    xy = np.array([click.pixel[::-1] for click in clicks], float).reshape(-1, 2)
    return xy, np.array([click.kind == "positive" for click in clicks], np.int64)


def _box(session: Session) -> np.ndarray | None:
    """(2, 2) float64 (x, y) of the top left and bottom right pixels that were spanned, or None."""
    corners = [click.pixel for click in session.clicks if click.kind in ("corner", "extreme")]
    if not corners:
        return None
    box = box_of(np.array(corners))
    return np.array([(box.left, box.top), (box.right, box.bottom)], float)
