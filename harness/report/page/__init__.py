"""The report as one HTML file: its data, its pictures, its templates. Numbers come from
`results` and `tables`."""
