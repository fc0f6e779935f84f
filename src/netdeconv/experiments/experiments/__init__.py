"""One file an experiment: its docstring says what is known of it, its ``rows()`` are the settings of its runs.

See :mod:`netdeconv.experiments.book`; ``netdeconv list recipes`` lists them, ``netdeconv reproduce NAME`` runs one.
"""
