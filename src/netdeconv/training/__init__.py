"""One training loop for all tasks: settings in, a run directory and its measurements out."""
