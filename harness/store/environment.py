"""Where a run was computed: versions, hardware, commit. Read without importing what it names."""

import os
import platform
import shlex
import subprocess
import sys
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = (
    *("numpy", "scipy", "scikit-image", "opencv-python-headless", "torch", "torchvision"),
    *("pandas", "pyarrow", "pycocotools", "ray", "PyMaxflow"),
)

#: Where the package's files lie in its checkout.
_ROOMS = ("harness", "methods", "datasets", "src")


def package_version() -> str:
    """The version of isegbench itself."""
    return version("isegbench")


def versions() -> dict[str, str]:
    """{package: version} of what a result may depend on; packages that are absent are left out."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def hardware() -> dict[str, Any]:
    """Processor, cores, memory and, where torch is in use already, the GPUs."""
    found: dict[str, Any] = {
        "machine": platform.machine(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
    }
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        found["gpus"] = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return found


def commit() -> str | None:
    """The git commit of the checkout this package runs from, or None.

    Where the package's files have changes: `+` and the beginning of the changes' sha256.
    """
    root = Path(__file__).resolve().parents[2]
    try:
        if Path(_git(root, "rev-parse", "--show-toplevel")) != root:
            return None  # the repository of a user, in which an installed package lies
        head = _git(root, "rev-parse", "HEAD")
        changes = _git(root, "diff", "HEAD", "--", *_ROOMS)
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{head}+{sha256(changes.encode()).hexdigest()[:8]}" if changes else head


def command() -> str:
    """The command that was typed."""
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def _git(root: Path, *args: str) -> str:
    done = subprocess.run(["git", *args], cwd=root, check=True, capture_output=True)
    return done.stdout.decode("utf-8", "replace").strip()


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"
