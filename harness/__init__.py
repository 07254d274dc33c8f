"""The engine of isegbench; it depends on no method and no data set.

`import isegbench` gives the names that a program needs.
"""
