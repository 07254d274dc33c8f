"""Numbers from papers, as CSV files with their sources; `report.results.published` reads them."""
