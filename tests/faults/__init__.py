"""Faults at random moments: a run that was hit by one goes on to the numbers it would have had, or says what is wrong.

``make faults`` tries hundreds of moments and writes their counts; ``make test`` tries a dozen.
"""
