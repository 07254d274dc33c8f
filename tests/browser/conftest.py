"""A headless Chromium that opens report pages, and made-up runs of any size to be shown.

Tests that need the browser are skipped where there is none.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from isegbench.harness.store.manifest import (
    DatasetEntry,
    Invocation,
    Manifest,
    MethodEntry,
    Protocol,
)
from isegbench.harness.store.traces import SCHEMA

SWITCHES = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser with a window of 1280 x 900, light, without animation."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    chromedriver = shutil.which("chromedriver")
    if browser is None or chromedriver is None:
        pytest.skip("needs Chromium and chromedriver, which are not here")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for switch in SWITCHES:
        options.add_argument(switch)
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    # Selenium would otherwise look for drivers to download.
    os.environ["SE_OFFLINE"] = "true"
    service = webdriver.ChromeService(executable_path=chromedriver)
    made = webdriver.Chrome(options=options, service=service)
    made.set_script_timeout(60)
    yield made
    made.quit()


@pytest.fixture
def show(driver: Any) -> Callable[..., Any]:
    """`show(path, width=1280, dark=False)`: open a page and wait until it is ready."""
    from selenium.webdriver.support.ui import WebDriverWait

    def open_page(path: Path, width: int = 1280, dark: bool = False) -> Any:
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        motion = {"name": "prefers-reduced-motion", "value": "reduce"}
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme, motion]})
        driver.get_log("browser")
        driver.get(path.resolve().as_uri())
        ready = "return document.documentElement.dataset.ready"
        WebDriverWait(driver, 60).until(lambda one: one.execute_script(ready))
        return driver

    return open_page


@pytest.fixture(scope="session")
def made_up_run() -> Callable[..., Path]:
    """`made_up_run(directory, methods, {dataset: instances})`: a run made up from formulas."""
    return write_made_up


def write_made_up(
    directory: Path, methods: Sequence[str], datasets: dict[str, int], clicks: int = 20
) -> Path:
    """A run of methods that get better the later they are named, on so many instances each."""
    directory.joinpath("traces").mkdir(parents=True)
    frames = [
        _traces(name, quality, dataset, count, clicks)
        for dataset, count in datasets.items()
        for quality, name in enumerate(methods)
    ]
    frame = pd.concat(frames, ignore_index=True)
    table = pa.Table.from_pandas(frame, preserve_index=False).select(SCHEMA.names).cast(SCHEMA)
    pq.write_table(table, directory / "traces" / "00000000000000000001-made.parquet")
    manifest = Manifest(
        isegbench="0.1.0",
        created="2026-01-01T00:00:00+00:00",
        protocol=Protocol(simulator="largest-error", clicks=clicks),
        methods={name: MethodEntry(spec=name, opening="click", threshold=0.5) for name in methods},
        datasets={
            name: DatasetEntry(spec=name, instances=count, fingerprint="0", planned=count)
            for name, count in datasets.items()
        },
        invocations=[
            Invocation(
                started="2026-01-01T00:00:00+00:00",
                command="isegbench run ...",
                executor={"name": "inline"},
                versions={"numpy": "2.4"},
                hardware={"cpu": "made up"},
            )
        ],
    )
    directory.joinpath("manifest.json").write_text(manifest.model_dump_json(), encoding="utf-8")
    return directory


def _traces(method: str, quality: int, dataset: str, count: int, clicks: int) -> pd.DataFrame:
    chance = np.random.default_rng([quality, count])
    # The same instances are hard for every method.
    hard = np.random.default_rng(count).beta(2, 3, (count, 1))
    click = np.arange(1, clicks + 1)
    ious = 1 - (0.25 + 0.7 * hard) * click ** -(0.35 + 0.08 * quality)
    ious = np.clip(ious + 0.02 * chance.standard_normal((count, clicks)), 0, 0.999)
    names = np.array([f"{number:012d}#{number % 7}" for number in range(count)])
    # Some end before the budget does: nothing was left to correct.
    length = np.where(hard[:, 0] < 0.2, chance.integers(3, clicks + 1, count), clicks)
    keep = (click <= length[:, None]).ravel()
    rows = count * clicks
    frame = pd.DataFrame(
        {
            "method": method,
            "dataset": dataset,
            "simulator": "largest-error",
            "seed": 0,
            "instance": np.repeat(names, clicks),
            "click": np.tile(click, count),
            "y": chance.integers(0, 480, rows).astype(float),
            "x": chance.integers(0, 640, rows).astype(float),
            "kind": np.where(np.tile(click, count) % 3 == 2, "negative", "positive"),
            "iou": ious.ravel(),
            "predict_seconds": chance.gamma(4, 0.02 * 2**quality, rows),
            "step_seconds": 0.1,
            "status": "ok",
        }
    )
    return pd.DataFrame(frame[keep])
