"""How the command starts: soon, and without what it does not need yet."""

import os
import subprocess
import sys

HEAVY = ("torch", "ray", "numpy", "pandas", "cv2", "scipy", "pyarrow", "matplotlib")

HELP = f"""
import sys
sys.argv = ["isegbench", "--help"]
from isegbench.harness.cli import main
try:
    main()
finally:
    print(sorted(set({HEAVY}) & set(sys.modules)))
"""


def test_help_answers_in_half_a_second_and_imports_nothing_heavy():
    seconds = []
    for _ in range(3):
        before = os.times()
        done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True)
        after = os.times()
        assert done.returncode == 0, done.stderr
        assert "run" in done.stdout
        assert done.stdout.splitlines()[-1] == "[]"
        # What the processor spent: on a busy machine the clock on the wall says little.
        spent = after.children_user - before.children_user
        seconds.append(spent + after.children_system - before.children_system)
    assert min(seconds) < 0.5
