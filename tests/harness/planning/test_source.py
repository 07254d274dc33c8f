"""The files and packages that a file imports, whichever way it writes it."""

from importlib import metadata

from isegbench.harness.planning.source import local_files, package_of


def test_local_modules_are_found_through_every_form_of_import(tmp_path, monkeypatch):
    away = tmp_path / "away"
    files = {
        "main.py": "import json, a, pkg.b, elsewhere\nfrom pkg import c\nfrom sub.d import x",
        "a.py": "def f():\n    import late\n",
        "late.py": "import a\n",
        "pkg/__init__.py": "from .inner import y\n",
        "pkg/inner.py": "from . import deepest\nfrom .deepest import z\n",
        "pkg/deepest.py": "",
        "pkg/b.py": "this is not Python",
        "pkg/c.py": "",
        "sub/d.py": "from numpy import array\n",
        "unused.py": "",
        "away/elsewhere.py": "import cv2, isegbench.harness\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(away)
    found, installed = local_files(tmp_path / "main.py")
    expected = set(files) - {"unused.py"}
    assert {str(path.relative_to(tmp_path.resolve())) for path in found} == expected
    assert installed == {"numpy", "cv2"}


def test_a_module_called_otherwise_than_its_package_is_found():
    everything = metadata.packages_distributions()
    for module in ("numpy", "skimage", "cv2", "PIL"):
        name, version = package_of(module)
        assert name in everything[module]
        assert version == metadata.version(name)
