"""What runs experiments: rows one after the other, comparisons, searches, tables."""
