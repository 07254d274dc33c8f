"""`python -m isegbench.harness.cli`: the command line without its script."""

from . import main

main()
