"""The engine of isegbench: knows no method and no data set by name.

`import isegbench` gives the names that a program needs.
"""
