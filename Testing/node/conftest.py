"""What the tests of the node share."""

import pytest


@pytest.fixture(autouse=True)
def prompt(monkeypatch):
    """The node's threads look for work more often than they need to."""
    # Not with the module: where the extra is not installed, the tests are skipped one by one.
    from COVIDQuantLib.node import node

    monkeypatch.setattr(node, "_SECONDS_BETWEEN_STEPS", 0.02)
