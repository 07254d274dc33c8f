"""Finding and building SAM and its kin: a hub id, a local folder or an original checkpoint file."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from ...harness.downloads.fetch import sha256_of
from ...harness.downloads.weights import resolve
from ...harness.errors import UserError
from ...harness.method import Checkpoint
from ..nets.sam import HQSamNetwork, MobileSamNetwork, Sam2Network, SamNetwork
from ..nets.tiny_vit import TinyViT
from ..released_checkpoints import HUB_MODELS
from ..runtime.checkpoint_file import fit, load_checkpoint
from .frames import Frame, PaddedFrame, RoundedSquareFrame, SquareFrame
from .sam_checkpoints import Family, Original, translated

#: The family and the transformers class that runs it, by `model_type` of a config.json. The
#: trackers' folders hold a video model, of which the image part is loaded.
_CLASSES: dict[str, tuple[Family, str]] = {
    "sam": ("sam", "SamModel"),
    "sam_hq": ("sam-hq", "SamHQModel"),
    "sam2": ("sam2", "Sam2Model"),
    "sam2_video": ("sam2", "Sam2Model"),
    "edgetam": ("edgetam", "EdgeTamModel"),
    "edgetam_video": ("edgetam", "EdgeTamModel"),
    "sam3": ("sam3", "Sam3TrackerModel"),
    "sam3_video": ("sam3", "Sam3TrackerModel"),
    "sam3_tracker": ("sam3", "Sam3TrackerModel"),
    "sam3_tracker_video": ("sam3", "Sam3TrackerModel"),
}
_FRAMES: dict[Family, type[Frame]] = {
    "sam": PaddedFrame,
    "mobile-sam": PaddedFrame,
    "sam-hq": PaddedFrame,
    "sam2": SquareFrame,
    "edgetam": SquareFrame,
    "sam3": RoundedSquareFrame,
}
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_FILE_ENDINGS = (".pth", ".pt", ".bin", ".ckpt", ".safetensors")


@dataclass(frozen=True)
class Loaded:
    """A model that is ready to be run: which family it is of, its network and its input."""

    family: Family
    network: SamNetwork
    frame: Frame
    weights: tuple[Checkpoint, ...]


def load_sam(weights: str, *, hq_token_only: bool, stability_fallback: bool | None) -> Loaded:
    """The model that `weights=` means.

    A folder that holds a `config.json` and safetensors files; an original checkpoint's path or
    its name in `isegbench weights list`; else an id on the Hugging Face hub (`owner/name`), which
    is downloaded to the hub's own cache. The two switches are those of HQ-SAM and of SAM 2.
    Raises UserError where the model is gated, missing or of another kind, where transformers is
    not installed, and for a switch that the model does not have.
    """
    _transformers()
    path = Path(weights).expanduser()
    if path.is_dir():
        family, model, record = _from_folder(path, weights)
    elif not path.exists() and _is_hub_id(weights):
        family, model, record = _from_folder(_from_hub(weights), weights)
    else:
        file = resolve(weights, "sam")
        original = translated(load_checkpoint(file.path), str(file.path))
        family, model, record = original.family, _built(original, str(file.path)), (file,)
    network = _network(family, model, hq_token_only, stability_fallback)
    return Loaded(family, network, _FRAMES[family](network.side), record)


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise UserError(
            f"the method sam needs transformers ({error}): pip install 'isegbench[sam]'"
        ) from error
    return transformers


def _network(
    family: Family, model: Any, hq_token_only: bool, stability_fallback: bool | None
) -> SamNetwork:
    if hq_token_only and family != "sam-hq":
        raise UserError(f"hq_token_only=true is for HQ-SAM; these weights are of {family}")
    if family in ("sam2", "edgetam", "sam3"):
        return Sam2Network(model, stability_fallback is not False)
    if stability_fallback is not None:
        raise UserError(f"stability_fallback is for SAM 2 and later; these weights are of {family}")
    if family == "sam-hq":
        return HQSamNetwork(model, hq_token_only)
    return MobileSamNetwork(model) if family == "mobile-sam" else SamNetwork(model)


def _built(original: Original, what: str) -> nn.Module:
    """The transformers model of an original checkpoint, with its weights."""
    library = _transformers()
    vision, prompt, decoder = original.vision, original.prompt, original.decoder
    if original.family == "sam2":
        backbone = library.Sam2HieraDetConfig(**vision["backbone"])
        channels = vision["backbone_channel_list"]
        seen = library.Sam2VisionConfig(backbone_config=backbone, backbone_channel_list=channels)
        model = library.Sam2Model(
            library.Sam2Config(
                vision_config=seen, prompt_encoder_config=prompt, mask_decoder_config=decoder
            )
        )
    elif original.family == "sam-hq":
        model = library.SamHQModel(
            library.SamHQConfig(
                vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder
            )
        )
    else:
        # MobileSAM's encoder replaces this one, which is therefore kept small.
        small = {"num_hidden_layers": 1} if original.family == "mobile-sam" else {}
        model = library.SamModel(
            library.SamConfig(
                vision_config=vision | small,
                prompt_encoder_config=prompt,
                mask_decoder_config=decoder,
            )
        )
        if original.family == "mobile-sam":
            model.vision_encoder = TinyViT()
    fit(model, original.state, what=what)
    return model


def _from_folder(folder: Path, name: str) -> tuple[Family, nn.Module, tuple[Checkpoint, ...]]:
    """The model in a folder as transformers saves it. name: as the user named it."""
    from transformers import PreTrainedConfig
    from transformers.utils import logging

    if not (folder / "config.json").is_file():
        raise UserError(
            f"weights={name}: no config.json in {folder}; give a folder as transformers saves a "
            "model, or an original checkpoint file"
        )
    try:
        kind = PreTrainedConfig.get_config_dict(folder)[0].get("model_type")
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / 'config.json'} cannot be read: {error}") from error
    if kind not in _CLASSES:
        raise UserError(
            f"weights={name}: a model of type {kind!r}; sam runs {', '.join(sorted(_CLASSES))}"
        )
    family, class_name = _CLASSES[kind]
    logging.disable_progress_bar()
    try:
        model, report = getattr(_transformers(), class_name).from_pretrained(
            folder, dtype="float32", output_loading_info=True, local_files_only=True
        )
    except (OSError, ValueError, RuntimeError, ImportError) as error:
        raise UserError(f"weights={name}: {folder} cannot be loaded: {error}") from error
    missing = sorted(report["missing_keys"])
    if missing:
        raise UserError(
            f"weights={name}: {folder} does not fit {class_name}: {len(missing)} entries are "
            f"missing, such as {', '.join(missing[:3])}"
        )
    return family, model, _recorded(folder, name)


def _recorded(folder: Path, name: str) -> tuple[Checkpoint, ...]:
    """What the manifest says of the files in a folder."""
    trained_on = HUB_MODELS.get(name, ())
    files = tuple(
        Checkpoint(path.name, path, sha256_of(path), trained_on)
        for path in sorted(folder.glob("*.safetensors"))
    )
    return (replace(files[0], name=name),) if len(files) == 1 else files


def _is_hub_id(text: str) -> bool:
    return bool(_HUB_ID.fullmatch(text)) and not text.endswith(_FILE_ENDINGS)


def _from_hub(name: str) -> Path:
    """The folder of the hub's cache that holds a model; downloads it if need be.

    Raises UserError, with what to do, for a model that is gated, missing or out of reach.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    page = f"https://huggingface.co/{name}"
    try:
        return Path(snapshot_download(name, allow_patterns=["config.json", "model*.safetensors*"]))
    except GatedRepoError as error:
        raise UserError(
            f"weights={name} is gated: ask for access on {page}, log in with `hf auth login`, "
            "then run this again"
        ) from error
    except RepositoryNotFoundError as error:
        raise UserError(
            f"weights={name}: no such file or folder, and no model that you may see at {page}; "
            "known are " + ", ".join(HUB_MODELS)
        ) from error
    except Exception as error:  # the hub's, the network's and the disk's own
        raise UserError(
            f"weights={name} cannot be fetched from {page} ({type(error).__name__}: "
            f"{str(error).splitlines()[0] if str(error) else ''}). On a machine with access run "
            f"`hf download {name} --local-dir FOLDER`, bring the folder here and give "
            "weights=FOLDER"
        ) from error
