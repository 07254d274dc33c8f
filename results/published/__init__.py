"""Numbers from papers, as CSV files with their sources; `harness.report.published` reads them."""
