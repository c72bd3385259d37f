"""Runs inside Slicer: the module's self-test and the panel's tests, then leaves with 0 only if all passed.

``Slicer --additional-module-paths COVIDQuant --python-script COVIDQuant/Testing/run_in_slicer.py``
"""

import sys
import unittest
from pathlib import Path

import slicer

ROOT = Path(__file__).resolve().parents[2]


def passed():
    """Whether everything passed; what failed goes to the terminal."""
    sys.path.append(str(ROOT / "COVIDQuant" / "Testing" / "Python"))
    import COVIDQuantPanelTest

    import COVIDQuant

    suite = unittest.defaultTestLoader.loadTestsFromModule(COVIDQuantPanelTest)
    # Slicer names the method of a scripted module's test runTest.
    suite.addTest(COVIDQuant.COVIDQuantTest())
    return unittest.TextTestRunner(verbosity=2).run(suite).wasSuccessful()


status = 1
try:
    status = 0 if passed() else 1
finally:
    # After an exception too, or Slicer would stay open.
    slicer.util.exit(status)
