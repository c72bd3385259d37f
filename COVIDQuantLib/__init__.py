"""Quantification of COVID-19 pneumonia on chest CT: everything that runs without Slicer.

Not a medical device. See ``docs/`` for the definitions and the structure of the code.
"""

__version__ = "0.2.0"
