"""The released checkpoints, as their authors' pages name them. No page publishes a checksum.

SBD annotates images of PASCAL VOC 2011, which VOC 2012 contains. "SBD" weights saw SBD's training
part, and with it images of VOC; "PASCAL" ones VOC's training part, and with it images of SBD;
"PASCAL + SBD" ones both parts of SBD but for VOC's validation images.
"""

from ..harness.downloads.weights import KnownCheckpoint, register

_SBD = ("sbd:split=train", "voc")
_PASCAL = ("voc:split=train", "sbd")
_COCO_LVIS = ("coco", "lvis")

_FBRS = "https://github.com/saic-vul/fbrs_interactive_segmentation/releases/download/v1.0"
_RITM = "https://github.com/saic-vul/ritm_interactive_segmentation/releases/download/v1.0"
_DEXTR = "https://data.vision.ee.ethz.ch/kmaninis/share/DEXTR/Downloads/models"


def _released(system: str, base: str, megabytes: dict[str, float | None]) -> None:
    """Checkpoints behind direct addresses; the stem of a file names what it was trained on."""
    for stem, size in megabytes.items():
        named = {"lvis": _COCO_LVIS, "coco": ("coco",), "pascal": _PASCAL, "sbd": _SBD}
        trained_on = next(sets for part, sets in named.items() if part in stem)
        file_name = f"{stem}.pth"
        register(
            KnownCheckpoint(
                stem, system, trained_on, file_name, url=f"{base}/{file_name}", megabytes=size
            )
        )


_released("dextr", _DEXTR, {"dextr_pascal-sbd": None, "dextr_pascal": None, "dextr_coco": None})
_released(
    "fbrs",
    _FBRS,
    {
        "resnet34_dh128_sbd": 89,
        "resnet50_dh128_sbd": 120,
        "resnet101_dh256_sbd": 223,
        "hrnet18_ocr64_sbd": 39,
        "hrnet32_ocr128_sbd": 119,
        "resnet50_dh128_lvis": 120,
        "hrnet32_ocr128_lvis": 119,
    },
)
_released(
    "ritm",
    _RITM,
    {
        "sbd_h18_itermask": 38.8,
        "coco_lvis_h18_baseline": 38.8,
        "coco_lvis_h18s_itermask": 16.5,
        "coco_lvis_h18_itermask": 38.8,
        "coco_lvis_h32_itermask": 119,
    },
)

for _entry in (
    KnownCheckpoint(
        "IOG_PASCAL_SBD",
        "iog",
        _PASCAL,
        "IOG_PASCAL_SBD.pth",
        drive_id="1Lm1hhMhhjjnNwO4Pf7SC6tXLayH2iH0l",
    ),
    KnownCheckpoint(
        "IOG_PASCAL",
        "iog",
        _PASCAL,
        "IOG_PASCAL.pth",
        drive_id="1GLZIQlQ-3KUWaGTQ1g_InVcqesGfGcpW",
    ),
    KnownCheckpoint(
        "IOG_PASCAL_SBD_REFINEMENT",
        "iog-refine",
        _PASCAL,
        "IOG_PASCAL_SBD_REFINEMENT.pth",
        drive_id="1VdOFUZZbtbYt9aIMugKhMKDA6EuqKG30",
    ),
    KnownCheckpoint(
        "fcfi_resnet101",
        "fcfi",
        _SBD,
        drive_id="1bxfaDRZAv7qNfHZXtVeNken2ndpFJ7BF",
        megabytes=224,
    ),
    KnownCheckpoint(
        "fcfi_hrnet18s",
        "fcfi",
        _COCO_LVIS,
        drive_id="1RzUKXWIydewf6qZy48HyLoU21arOVZg2",
        megabytes=39.5,
    ),
    KnownCheckpoint(
        "forte_r50",
        "forte",
        ("synthetic", *_SBD),
        drive_id="1nJMTXSlprm5FQaQA5gfyU8CbSEX8ghzJ",
        megabytes=144,
    ),
):
    register(_entry)

_SEGMENT_ANYTHING = "https://dl.fbaipublicfiles.com/segment_anything"
_SEGMENT_ANYTHING_2 = "https://dl.fbaipublicfiles.com/segment_anything_2/092824"
_HQ = "https://huggingface.co/lkeab/hq-sam/resolve/main"
_SA_1B = ("sa-1b",)
_SA_V = ("sa-1b", "sa-v")
# The data that HQ-SAM's own layers were trained with is called HQSeg-44K.
_HQSEG = ("sa-1b", "hqseg-44k")

# The code and the weights of SAM, HQ-SAM, MobileSAM, SAM 2 and 2.1 have this licence.
_SAM_LICENCE = "Apache-2.0"

for _base, _trained_on, _ending, _sizes in (
    (
        _SEGMENT_ANYTHING,
        _SA_1B,
        ".pth",
        {"sam_vit_b_01ec64": 375, "sam_vit_l_0b3195": 1250, "sam_vit_h_4b8939": 2560},
    ),
    (
        _SEGMENT_ANYTHING_2,
        _SA_V,
        ".pt",
        {
            "sam2.1_hiera_tiny": 156,
            "sam2.1_hiera_small": 184,
            "sam2.1_hiera_base_plus": 324,
            "sam2.1_hiera_large": 898,
        },
    ),
    (_HQ, _HQSEG, ".pth", {"sam_hq_vit_b": 379, "sam_hq_vit_l": 1260, "sam_hq_vit_h": 2570}),
    (
        "https://github.com/ChaoningZhang/MobileSAM/raw/master/weights",
        _SA_1B,
        ".pt",
        {"mobile_sam": 41},
    ),
):
    for _stem, _size in _sizes.items():
        _file = f"{_stem}{_ending}"
        register(
            KnownCheckpoint(
                _stem,
                "sam",
                _trained_on,
                _file,
                url=f"{_base}/{_file}",
                megabytes=_size,
                licence=_SAM_LICENCE,
            )
        )

#: Models on the Hugging Face hub that `sam` runs, and what each was trained on. SAM 3 has a licence
#: of its own, and access is on request.
HUB_MODELS: dict[str, tuple[str, ...]] = {
    "facebook/sam-vit-base": _SA_1B,
    "facebook/sam-vit-large": _SA_1B,
    "facebook/sam-vit-huge": _SA_1B,
    "syscv-community/sam-hq-vit-base": _HQSEG,
    "syscv-community/sam-hq-vit-large": _HQSEG,
    "syscv-community/sam-hq-vit-huge": _HQSEG,
    "facebook/sam2.1-hiera-tiny": _SA_V,
    "facebook/sam2.1-hiera-small": _SA_V,
    "facebook/sam2.1-hiera-base-plus": _SA_V,
    "facebook/sam2.1-hiera-large": _SA_V,
    "yonigozlan/EdgeTAM-hf": _SA_V,
    "facebook/sam3": ("sa-co",),
}

# ClickSEG's page links one folder and names models, not files. "Combined" adds six data sets to
# COCO and LVIS.
_CLICKSEG = "1XzUlpPqbzAyMt009HVpEeW31ln1FeXfX"
# The README and the licence file differ.
_CLICKSEG_LICENCE = "MIT (README) or Apache-2.0 (licence file)"
# Two files of the SegFormer carry another licence.
_SEGFORMER_LICENCE = f"{_CLICKSEG_LICENCE}; SegFormer: NVIDIA, non-commercial"
_COMBINED = (
    *_COCO_LVIS,
    "ade20k",
    "msra10k",
    "dut",
    "youtube-vos",
    "thin-object",
    "hflickr",
)
for _name, _system, _sets, _size in (
    ("cdnet_resnet34_sbd", "cdnet", _SBD, 89.72),
    ("cdnet_resnet34_cocolvis", "cdnet", _COCO_LVIS, 89.72),
    ("focalclick_hrnet18s_s1_cocolvis", "focalclick", _COCO_LVIS, 16.58),
    ("focalclick_hrnet18s_s2_cocolvis", "focalclick", _COCO_LVIS, 16.58),
    ("focalclick_hrnet32_s2_cocolvis", "focalclick", _COCO_LVIS, 119.11),
    ("focalclick_hrnet32_s2_combined", "focalclick", _COMBINED, 119.11),
    ("focalclick_segformer_b0_s1_cocolvis", "focalclick", _COCO_LVIS, 14.38),
    ("focalclick_segformer_b0_s2_cocolvis", "focalclick", _COCO_LVIS, 14.38),
    ("focalclick_segformer_b3_s2_cocolvis", "focalclick", _COCO_LVIS, 174.56),
    ("focalclick_segformer_b3_s2_combined", "focalclick", _COMBINED, 174.56),
):
    _licence = _SEGFORMER_LICENCE if "segformer" in _name else _CLICKSEG_LICENCE
    register(
        KnownCheckpoint(
            _name, _system, _sets, folder_id=_CLICKSEG, megabytes=_size, licence=_licence
        )
    )

# SimpleClick links one folder; the file names are those of its scripts and of RClicks.
_SIMPLECLICK = "1qpK0gtAPkVMF7VC42UA9XF4xMWr5KJmL"
for _stem in (
    "cocolvis_vit_base",
    "cocolvis_vit_large",
    "cocolvis_vit_huge",
    "sbd_vit_xtiny",
    "sbd_vit_base",
    "sbd_vit_large",
    "sbd_vit_huge",
):
    _sets = _SBD if _stem.startswith("sbd") else _COCO_LVIS
    register(
        KnownCheckpoint(
            _stem, "simpleclick", _sets, f"{_stem}.pth", folder_id=_SIMPLECLICK, licence="MIT"
        )
    )

# SegNext.
for _name, _sets, _drive_id, _size in (
    ("segnext_vitb_sax1", _COCO_LVIS, "1eqkd5-J9MELGIw2WRcT5hejsnGc5oO30", 408),
    ("segnext_vitb_sax2", _COCO_LVIS, "1oxwCm4bFby6RgltO_tl54BqRN9tojylT", 435),
    ("segnext_vitb_sax2_ft", (*_COCO_LVIS, "hqseg44k"), "1yDN3mwBBO33TlA0KRdO2s07Q5HWXR6nt", 435),
):
    register(
        KnownCheckpoint(_name, "segnext", _sets, drive_id=_drive_id, megabytes=_size, licence="MIT")
    )
