"""Pages of the documentation whose tables are written from files of results/."""
