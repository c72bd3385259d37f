"""Quantification of COVID-19 pneumonia on chest CT: everything that runs anywhere Python runs.

Not a medical device. See ``docs/`` for the definitions and the floors of the code.
"""

__version__ = "0.2.0"
