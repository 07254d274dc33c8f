"""The engine of isegbench: knows no method and no data set by name."""
