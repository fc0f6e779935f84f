"""Data sets by name: small images in memory, augmented on the device; image files read as they are needed."""
