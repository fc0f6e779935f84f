"""What the measurements share: options, timing, tables, networks."""
