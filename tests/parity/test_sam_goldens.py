"""SAM and its kin beside the original packages: embeddings, logits and whole evaluations."""

import json
from hashlib import sha1

import numpy as np
import pytest
import torch
from golden_runs import rerun, write_checkpoint
from recorded_clicks import instance_of

from isegbench.harness.method import Session
from isegbench.harness.metrics.scores import iou
from isegbench.harness.registry import simulators
from isegbench.harness.types import Click
from isegbench.methods.promptable.sam import SAM

pytest.importorskip("transformers")

MODELS = ["sam_vit_b", "sam2.1_hiera_tiny", "sam_hq_vit_b", "mobile_sam"]
EVALUATIONS = {
    "e2e_official": {"protocol": "paper"},
    "e2e_multimask_always": {"protocol": "segnext"},
    "e2e_official_no_stability": {"stability_fallback": False},
    "e2e_single_always": {"multimask": "never"},
    "e2e_hqonly_official": {"hq_token_only": True},
}
RECORDED = [
    *[(model, name) for model in MODELS for name in ("e2e_official", "e2e_multimask_always")],
    ("sam2.1_hiera_tiny", "e2e_official_no_stability"),
    ("sam2.1_hiera_tiny", "e2e_single_always"),
    ("sam_hq_vit_b", "e2e_hqonly_official"),
]
FORWARDS = [*[(model, "GrabCut_flower") for model in MODELS], ("sam2.1_hiera_tiny", "DAVIS_200")]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, shared):
    """`checkpoint(model)`: a file with the weights that the formula gives."""
    written = {}

    def write(model):
        if model not in written:
            target = tmp_path_factory.mktemp("weights") / f"{model}.pth"
            written[model] = str(write_checkpoint(shared("goldens", model), target))
        return written[model]

    return write


@pytest.fixture(scope="module")
def build(checkpoint):
    """`build(model, **options)`: the method; models share what they make of an image."""
    known = {}

    def make(model, **options):
        method = SAM(checkpoint(model), device="cpu", **options)
        encode = method._encode

        def encode_once(image):
            key = model, sha1(image.tobytes()).hexdigest()
            if key not in known:
                known[key] = encode(image)
            return known[key]

        method._encode = encode_once
        return method

    return make


def far(found, expected):
    """The largest difference, relative to the largest number expected."""
    found = np.asarray(found)
    assert found.shape == expected.shape
    return np.abs(found - expected).max() / np.abs(expected).max()


def session_of(method, image, clicks):
    clicks = [Click(y, x, "positive" if positive else "negative") for y, x, positive in clicks]
    session = Session(image, tuple(clicks))
    method.begin(session)
    return session


@torch.inference_mode()
def decoded(method, session, multimask):
    prompts = method._prompts([session])
    masks, scores = method.network.decode(session.memory["embedding"], prompts, multimask)
    return masks[0], scores[0]


@pytest.mark.goldens
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("model", "image"), FORWARDS)
def test_recorded_embeddings_and_logits(build, shared, model, image):
    golden = np.load(shared("goldens", model, f"forward_{image}.npz"))
    dataset, name = image.split("_")
    pixels = instance_of({"dataset": dataset, "name": name}, shared("data")).load().image
    method = build(model)
    assert far(method.frame.pixels(pixels)[..., ::16, ::16], golden["input_sub16"]) < 1e-5

    session = session_of(method, pixels, [golden["click"].tolist()])
    *finer, embedding = session.memory["embedding"]
    if model == "sam_hq_vit_b":
        (embedding,), inner = finer, embedding
        assert far(inner[:, ::8, ::8, ::4], golden["interm0_sub8"]) < 1e-4
    if finer and "feat_s0_sub16" in golden:
        assert far(finer[0][..., ::16, ::16], golden["feat_s0_sub16"]) < 1e-4
        assert far(finer[1][..., ::8, ::8], golden["feat_s1_sub8"]) < 1e-4
    assert far(embedding[..., ::4, ::4], golden["embedding_sub4"]) < 1e-4

    three, scores = decoded(method, session, multimask=True)
    count = len(golden["iou_multi"])
    assert far(three[:count], golden["low_res_multi"]) < 1e-4
    np.testing.assert_allclose(scores[:count], golden["iou_multi"], atol=1e-5)
    one, score = decoded(method, session, multimask=False)
    assert far(one, golden["low_res_single"]) < 1e-4
    np.testing.assert_allclose(score, golden["iou_single"], atol=1e-5)
    full = method.frame.in_image(one, session.shape)
    assert far(full[0, ::8, ::8], golden["logits_full_single_sub8"]) < 1e-4

    again = session_of(method, pixels, golden["clicks2"].tolist())
    again.memory["logits"] = three[scores.argmax()][None].clamp(
        -method.network.limit, method.network.limit
    )
    later, score = decoded(method, again, multimask=False)
    expected = golden["low_res_single_after_2_clicks_with_mask_sub2"]
    assert far(later[:, ::2, ::2], expected) < 1e-4
    np.testing.assert_allclose(score, golden["iou_single_after_2"], atol=1e-5)


@pytest.mark.goldens
@pytest.mark.timeout(1800)
def test_recorded_variants_of_one_mask(build, shared):
    """HQ-SAM's own mask, and SAM 2's single mask without its fall-back."""
    for model, options, key, step in (
        ("sam_hq_vit_b", {"hq_token_only": True}, "low_res_hq_only", 1),
        (
            "sam2.1_hiera_tiny",
            {"stability_fallback": False},
            "low_res_single_no_stability_sub2",
            2,
        ),
    ):
        golden = np.load(shared("goldens", model, "forward_GrabCut_flower.npz"))
        row = {"dataset": "GrabCut", "name": "flower"}
        method = build(model, **options)
        image = instance_of(row, shared("data")).load().image
        session = session_of(method, image, [golden["click"].tolist()])
        one, _ = decoded(method, session, multimask=False)
        assert far(one[:, ::step, ::step], golden[key]) < 1e-4, model


@pytest.mark.goldens
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("model", "name"), RECORDED)
def test_recorded_evaluations(build, shared, model, name):
    """The same clicks, the same IoU after each, the same sum of probabilities: one session after
    the other in the engine, and both in every batch."""
    rows = json.loads(shared("goldens", model, f"{name}.json").read_text())["rows"]
    method = build(model, **EVALUATIONS[name])
    clicks = len(rows[0]["clicks"])
    engine = rerun(method, simulators.build("largest-error"), rows, shared("data"), clicks)
    for golden in engine:
        assert golden.clicks == golden.expected_clicks, golden.name
        assert golden.iou_error() < 1e-4, golden.name
    assert_batched(method, [instance_of(row, shared("data")).load() for row in rows], rows)


def assert_batched(method, instances, rows):
    simulator, rng = simulators.build("largest-error"), np.random.default_rng(0)
    sessions = []
    for instance in instances:
        clicks = simulator.open(instance, method.opening, rng)
        sessions.append(Session(instance.image, tuple(clicks)))
        method.begin(sessions[-1])
    for step in range(len(rows[0]["clicks"])):
        assert len({method.batch_key(session) for session in sessions}) == 1
        maps = method.predict(sessions)
        for session, found, instance, row in zip(sessions, maps, instances, rows, strict=True):
            newest = session.clicks[-1]
            assert [newest.y, newest.x, newest.kind == "positive"] == row["clicks"][step]
            probabilities = found.numpy()
            mask = probabilities > method.threshold
            assert iou(mask, instance.mask) == pytest.approx(row["iou"][step], abs=1e-4)
            total = probabilities.sum(dtype=np.float64)
            assert total == pytest.approx(row["prob_sum"][step], rel=1e-4)
            click = simulator.correct(instance, probabilities, mask, session.clicks, rng)
            session.clicks = (*session.clicks, click)
