"""Experiments, one file each: the paper's tables and figures, and this project's studies.

A file's docstring says what is known of its experiment, ``rows()`` gives the settings of its runs (or ``ROWS`` those of
several experiments by name). ``then(found)`` gives rows that follow from what was found so far, ``summary(runs)`` the
table. The machinery that runs them is :mod:`netdeconv.experiments.running`.
"""
