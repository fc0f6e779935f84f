"""Finished and running runs: as a page, as a dashboard, as figures."""
