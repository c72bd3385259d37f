"""What the tests of the node share."""

import pytest

from COVIDQuantLib.node import node


@pytest.fixture(autouse=True)
def prompt(monkeypatch):
    """The node's threads look for work more often than they need to."""
    monkeypatch.setattr(node, "_SECONDS_BETWEEN_STEPS", 0.02)
