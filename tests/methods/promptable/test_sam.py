"""The method over small models with made-up weights; transformers' own pipelines as the truth."""

import sys
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import torch
import transformers
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

from isegbench.harness.downloads.weights import known_checkpoints
from isegbench.harness.engine.loop import Engine
from isegbench.harness.engine.session import Pairing, Settings
from isegbench.harness.errors import UserError
from isegbench.harness.method import Session
from isegbench.harness.planning.plan import checkpoints
from isegbench.harness.registry import methods, simulators
from isegbench.harness.types import Click, instance_from_arrays
from isegbench.methods.nets.sam import Prompts, upscale_transformed, upscales_wrong_tensor
from isegbench.methods.promptable.sam import SAM

KINDS = ["sam", "sam-hq", "sam2", "edgetam", "sam3"]
SHAPE = (32, 64)


def picture(seed=0, shape=SHAPE):
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


def begun(method, image, *clicks, truth=None):
    session = Session(image, tuple(Click(*click) for click in clicks), truth=truth)
    method.begin(session)
    return session


def predicted(method, session, *more):
    """The map after more clicks."""
    session.clicks += tuple(Click(*click) for click in more)
    return method.predict([session])[0]


def processed(kind, **prompts):
    """What transformers' own processor makes of prompts in image coordinates."""
    size = torch.tensor([SHAPE])
    if kind.startswith("sam3"):
        resize = transformers.Sam3ImageProcessor(size={"height": 56, "width": 56})
        return transformers.Sam3TrackerProcessor(resize, target_size=56)(
            original_sizes=size, return_tensors="pt", **prompts
        )
    if kind == "sam2":
        resize = transformers.Sam2ImageProcessor(size={"height": 64, "width": 64})
        return transformers.Sam2Processor(resize, target_size=64)(
            original_sizes=size, return_tensors="pt", **prompts
        )
    resize = transformers.SamImageProcessor(
        size={"longest_edge": 64}, pad_size={"height": 64, "width": 64}
    )
    # Any: its annotations leave out return_tensors.
    processor: Any = transformers.SamProcessor(resize)
    return processor(picture(), return_tensors="pt", **prompts)


@pytest.mark.parametrize("kind", ["sam", "sam2", "sam3"])
@torch.no_grad()
def test_points_and_boxes_are_those_of_transformers_own_processor(saved, kind):
    """Order (x, y), scale, labels and full-size masks, on an image twice as wide as high."""
    method = SAM(saved(kind), device="cpu", opening="inside-outside", multimask="never")
    session = begun(
        method, picture(), (3, 10, "corner"), (28, 60, "corner"), (9, 40, "positive"),
        (20, 15, "negative"),
    )  # fmt: skip
    found = predicted(method, session)

    given = processed(
        kind,
        input_points=[[[[40, 9], [15, 20]]]],
        input_labels=[[[1, 0]]],
        input_boxes=[[[10, 3, 60, 28]]],
    )
    prompts = method._prompts([session])
    torch.testing.assert_close(prompts.points, given["input_points"].float())
    torch.testing.assert_close(prompts.boxes, given["input_boxes"].float())
    embedding = method._encode(session.image)
    model = method.network.model
    answer = model(
        image_embeddings=embedding[0] if kind == "sam" else list(embedding),
        input_points=given["input_points"].float(),
        input_labels=given["input_labels"],
        input_boxes=given["input_boxes"].float(),
        multimask_output=False,
    )
    low = answer.pred_masks[0]
    if kind == "sam":
        # SAM's masks take the way over its padded input.
        low = torch.nn.functional.interpolate(low, (64, 64), mode="bilinear")[:, :, :32]
        pixels = processed(kind, input_points=[[[40, 9]]])["pixel_values"]
        torch.testing.assert_close(method.frame.pixels(picture()), pixels, atol=1e-5, rtol=0)
    expected = torch.nn.functional.interpolate(low, SHAPE, mode="bilinear")[0, 0].sigmoid()
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_gives_what_single_sessions_give(saved, kind):
    method = SAM(saved(kind), device="cpu")
    alone, together = (
        [begun(method, picture(seed, shape), (5, 9, "positive"))
         for seed, shape in enumerate([(32, 64), (40, 30)])]
        for _ in range(2)
    )  # fmt: skip
    for more in ((), (Click(20, 8, "negative"),), (Click(2, 2, "positive"),)):
        for session in alone + together:
            session.clicks += more
        assert len({method.batch_key(session) for session in together}) == 1
        pairs = zip(alone, method.predict(together), strict=True)
        for session, found in pairs:
            expected = predicted(method, session)
            assert found.shape == session.shape
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


def test_sessions_with_other_numbers_of_prompts_share_no_batch(saved):
    """Padding with points that do not count changes the answer."""
    method = SAM(saved("sam2"), device="cpu")
    one = begun(method, picture(), (5, 9, "positive"))
    two = begun(method, picture(), (5, 9, "positive"), (9, 9, "negative"))
    drawn = begun(method, picture(), (5, 9, "corner"), (9, 19, "corner"))
    keys = [method.batch_key(session) for session in (one, two, drawn)]
    predicted(method, two)
    assert len({*keys, method.batch_key(two)}) == 4

    prompts = method._prompts([one])
    assert prompts.points is not None
    assert prompts.labels is not None
    padded = Prompts(
        torch.nn.functional.pad(prompts.points, (0, 0, 0, 1)),
        torch.nn.functional.pad(prompts.labels, (0, 1), value=-10),
        None,
        None,
    )
    embedding = one.memory["embedding"]
    with torch.no_grad():
        right, wrong = (method.network.decode(embedding, p, True)[0] for p in (prompts, padded))
    assert (right - wrong).abs().max() > 1e-3


def taught(method, image, steps):
    """Train prompt encoder and mask decoder to draw discs around positive clicks, less what is
    nearer to a negative one. The embedding is scaled so that positions stand out."""
    *finer, coarse = method._encode(image)
    coarse = (coarse - coarse.mean()) / coarse.std()
    embedding = (*(torch.zeros_like(level) for level in finer), coarse)
    method._encode = lambda image: embedding
    torch.manual_seed(0)
    network, side, count = method.network, method.network.side, 16
    named = network.model.named_parameters()
    parts = [p.requires_grad_() for name, p in named if name.startswith(("prompt", "mask"))]
    optimiser = torch.optim.Adam(parts, 3e-3)
    grid = (torch.arange(16.0) + 0.5) * side / 16
    for step in range(steps):
        points = torch.rand(count, 1, 1 + step % 2, 2) * side
        labels = torch.ones(points.shape[:3], dtype=torch.long)
        labels[:, :, 1:] = torch.randint(0, 2, labels[:, :, 1:].shape)
        x, y = (points[:, 0, :, axis, None] + 0.5 for axis in (0, 1))
        far = ((grid - y)[..., :, None] ** 2 + (grid - x)[..., None, :] ** 2).sqrt()
        positive = labels[:, 0, :, None, None] == 1
        near, opposed = (far.where(kind, torch.inf).amin(1) for kind in (positive, ~positive))
        target = ((near < side / 3) & (near < opposed)).float()
        levels = tuple(level.clone().expand(count, *level.shape[1:]) for level in embedding)
        found, _ = network.decode(levels, Prompts(points, labels, None, None), False)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(found[:, 0], target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


@pytest.mark.parametrize(("kind", "steps"), [("sam", 300), ("sam-hq", 300), ("sam2", 600)])
def test_a_negative_click_shrinks_the_mask_where_it_is(saved, kind, steps):
    """Taught for seconds, on an image twice as wide as high."""
    more: dict[str, Any] = {"stability_fallback": False} if kind == "sam2" else {}
    method = SAM(saved(kind), device="cpu", multimask="never", feed_back="none", **more)
    image = np.full((*SHAPE, 3), 128, np.uint8)
    taught(method, image, steps)
    for (y, x), against in (((16, 20), (16, 32)), ((8, 50), (16, 50))):
        session = begun(method, image, (y, x, "positive"))
        before = predicted(method, session) > method.threshold
        rows, columns = before.nonzero().float().mean(0).tolist()
        assert abs(rows - y) < 8
        assert abs(columns - x) < 8
        after = predicted(method, session, (*against, "negative")) > method.threshold
        assert 0 < after.sum() < before.sum()
        around = np.hypot(*(np.indices(SHAPE) - np.array(against)[:, None, None])) < 8
        assert (before & ~after)[around].sum() > (after & ~before)[around].sum()


def test_transformers_upscales_the_wrong_tensor_and_is_mended():
    """5.24 does; a release that does not must stay as it is."""
    config = transformers.SamHQMaskDecoderConfig(
        hidden_size=32, mlp_dim=32, num_attention_heads=2, iou_head_hidden_dim=32, vit_dim=32
    )
    config._attn_implementation = "eager"
    decoder = transformers.models.sam_hq.modeling_sam_hq.SamHQMaskDecoder(config).eval()
    if upscales_wrong_tensor(decoder):
        upscale_transformed(decoder)
    else:
        assert transformers.__version__ != "5.24.0"
    assert not upscales_wrong_tensor(decoder)
    # Mending it again changes nothing.
    upscale_transformed(decoder)
    assert not upscales_wrong_tensor(decoder)


def test_the_hq_decoder_is_mended_at_the_start(saved):
    method = SAM(saved("sam-hq"), device="cpu")
    assert not upscales_wrong_tensor(method.network.model.mask_decoder)


def test_logits_are_clamped_before_they_are_fed_back(saved):
    for kind, limit in (("sam", np.inf), ("sam2", 32)):
        method = SAM(saved(kind), device="cpu")
        session = begun(method, picture(), (5, 9, "positive"))
        masks = torch.full((3, 16, 16), 100.0)
        found = method._finish(session, masks, torch.tensor([0.1, 0.9, 0.5]))
        assert session.memory["logits"].max() == min(limit, 100)
        torch.testing.assert_close(found, torch.full(SHAPE, 100.0).sigmoid())


def test_the_mask_is_chosen_as_said(saved):
    truth = np.zeros(SHAPE, np.uint8)
    truth[:, :20] = 1
    masks = torch.full((3, 16, 16), -5.0)
    masks[0, :2, :] = masks[1, :, :5] = masks[2] = 5
    scores = torch.tensor([0.1, 0.2, 0.2])
    chosen = {}
    for choice in ("first", "score", "area", "oracle"):
        method = SAM(saved("sam2"), device="cpu", mask_choice=choice)
        assert method.sees_truth == (choice == "oracle")
        session = begun(method, picture(), (5, 9, "positive"), truth=truth)
        chosen[choice] = method._chosen(session, masks, scores)
    assert chosen == {"first": 0, "score": 1, "area": 2, "oracle": 1}
    assert not SAM.sees_truth


def test_the_oracle_does_no_worse_than_its_rivals_and_is_marked(saved):
    truth = np.zeros(SHAPE, np.uint8)
    truth[5:20, 5:30] = 1
    ref = instance_from_arrays("d", "n", picture(), truth)
    found = {}
    for choice in ("score", "first", "area", "oracle"):
        method = SAM(saved("sam"), device="cpu", mask_choice=choice)
        pairing = Pairing(method, "sam", simulators.build("largest-error"), "largest-error")
        (trace,) = Engine(pairing, Settings(clicks=2)).run([ref])
        assert trace.status == "ok", trace.error
        found[choice] = trace.steps[0].iou
        assert any("ground truth is seen" in d for d in method.departures) == (choice == "oracle")
    assert found["oracle"] == max(found.values())


def asked(method, *clicks):
    """Whether three masks are asked for, and whether one is fed back, after each click."""
    session = begun(method, picture(), *clicks[:1])
    rows = []
    for click in (None, *clicks[1:]):
        if click is not None:
            session.clicks += (Click(*click),)
        rows.append((method._three(session), method._fed(session)))
        method.predict([session])
    return rows


def test_protocols_are_presets_and_parameters_go_before_them(saved):
    clicks = (5, 9, "positive"), (9, 40, "negative")
    build = lambda kind="sam", **options: SAM(saved(kind), device="cpu", **options)  # noqa: E731
    assert asked(build(), *clicks) == [(True, False), (False, True)]
    assert asked(build(protocol="segnext"), *clicks) == [(True, False), (True, True)]
    assert asked(build(protocol="rclicks"), *clicks) == [(True, False), (True, True)]
    assert asked(build("sam2", protocol="rclicks"), *clicks) == [(False, False), (False, True)]
    other = build(protocol="segnext", multimask="never", feed_back="none", threshold=1)
    assert asked(other, *clicks) == [(False, False), (False, False)]
    assert build().threshold == 0.5
    assert build(protocol="rclicks").threshold == pytest.approx(0.49)
    assert other.threshold == pytest.approx(1 / (1 + np.exp(-1)))
    assert other.departures == (
        "one mask is asked for",
        "the last mask's logits are not fed back",
        "object above logit 1",
    )


@pytest.mark.parametrize("kind", ["sam", "sam2"])
@pytest.mark.parametrize("opening", ["click", "box", "inside-outside", "extreme-points"])
def test_every_opening_runs_in_the_engine(saved, kind, opening):
    """A box leaves no doubt which mask is meant: one is asked for."""
    truth = np.zeros(SHAPE, np.uint8)
    truth[5:20, 5:30] = 1
    method = SAM(saved(kind), device="cpu", opening=opening)
    boxes, three = [], []
    decode = method.network.decode

    def watched(embedding, prompts, multimask):
        boxes.append(None if prompts.boxes is None else prompts.boxes.tolist())
        three.append(multimask)
        return decode(embedding, prompts, multimask)

    method.network.decode = watched
    pairing = Pairing(method, "sam", simulators.build("largest-error"), "largest-error")
    ref = instance_from_arrays("d", "n", picture(), truth)
    (trace,) = Engine(pairing, Settings(clicks=5)).run([ref])
    assert trace.status == "ok", trace.error
    rows = 2 if kind == "sam2" else 1
    expected = None if opening == "click" else [[[5.0, 5.0 * rows, 29.0, 19.0 * rows]]]
    assert boxes[0] == expected
    assert three[0] == (opening == "click")


def test_sam_2_falls_back_where_its_single_mask_is_unstable(saved):
    found = {}
    for falls_back in (None, True, False):
        method = SAM(saved("sam2"), device="cpu", multimask="never", stability_fallback=falls_back)
        found[falls_back] = predicted(method, begun(method, picture(), (5, 9, "positive")))
        assert ("unstable" in " ".join(method.departures)) == (falls_back is not False)
    assert torch.equal(found[None], found[True])
    assert not torch.equal(found[None], found[False])
    with pytest.raises(UserError, match="stability_fallback is for SAM 2"):
        SAM(saved("sam"), stability_fallback=True)


def test_hq_token_only_is_another_mask_and_hq_sams_alone(saved):
    maps = []
    for only in (False, True):
        method = SAM(saved("sam-hq"), device="cpu", hq_token_only=only)
        maps.append(predicted(method, begun(method, picture(), (5, 9, "positive"))))
    assert not torch.equal(*maps)
    with pytest.raises(UserError, match="hq_token_only=true is for HQ-SAM"):
        SAM(saved("sam"), hq_token_only=True)


def test_the_image_part_of_a_saved_video_model_is_loaded(saved, tmp_path):
    """As the hub's folders of SAM 2 and EdgeTAM are."""
    model = transformers.Sam2Model.from_pretrained(saved("sam2"))
    model.save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(
        file.read_text().replace('"model_type": "sam2",', '"model_type": "sam2_video",')
    )
    assert '"sam2_video"' in file.read_text()
    maps = []
    for folder in (saved("sam2"), str(tmp_path)):
        method = SAM(folder, device="cpu")
        maps.append(predicted(method, begun(method, picture(), (5, 9, "positive"))))
    assert torch.equal(*maps)


def test_a_folder_is_recorded_and_other_folders_are_refused(saved, tmp_path):
    (weights,) = checkpoints(SAM(saved("sam"), device="cpu"))
    assert weights.name == saved("sam")
    assert len(weights.sha256) == 64
    with pytest.raises(UserError, match=r"no config\.json in"):
        SAM(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(UserError, match="a model of type 'bert'; sam runs"):
        SAM(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "sam"}')
    with pytest.raises(UserError, match="cannot be loaded"):
        SAM(str(tmp_path))


def test_a_hub_id_is_looked_up_and_its_training_data_known(saved, monkeypatch):
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: saved("sam2"))
    (weights,) = checkpoints(SAM("facebook/sam2.1-hiera-tiny", device="cpu"))
    assert weights.name == "facebook/sam2.1-hiera-tiny"
    assert weights.trained_on == ("sa-1b", "sa-v")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (GatedRepoError, r"is gated: ask for access on https://huggingface\.co/facebook/sam3"),
        (RepositoryNotFoundError, "no model that you may see.*facebook/sam-vit-base"),
        (LocalEntryNotFoundError, "hf download facebook/sam3 --local-dir FOLDER"),
    ],
)
def test_a_model_that_cannot_be_had_is_said_with_what_to_do(monkeypatch, error, said):
    def refuse(*_, **__):
        raise error.__new__(error)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(UserError, match=said):
        SAM("facebook/sam3")


def test_without_transformers_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UserError, match=r"pip install 'isegbench\[sam\]'"):
        methods.build("sam:weights=sam_vit_b_01ec64")


def test_released_checkpoints_say_what_they_were_trained_on():
    known = {entry.name: entry.trained_on for entry in known_checkpoints("sam")}
    assert known["sam_vit_b_01ec64"] == ("sa-1b",)
    assert known["sam2.1_hiera_large"] == ("sa-1b", "sa-v")
    with pytest.raises(UserError, match="did you mean 'mobile_sam'"):
        SAM("mobile_san")
