"""What the tests of the node share."""

import pytest


@pytest.fixture(autouse=True)
def prompt(monkeypatch):
    """The node looks for work, and whether it is to end, more often than it needs to."""
    # Not with the module: where the extra is not installed, the tests are skipped one by one.
    from COVIDQuantLib.node import node, status_page
    from COVIDQuantLib.node.network import connections, service

    monkeypatch.setattr(node, "_SECONDS_BETWEEN_STEPS", 0.02)
    monkeypatch.setattr(connections, "_SECONDS_BETWEEN_LOOKS", 0.02)
    monkeypatch.setattr(status_page, "_SECONDS_BETWEEN_LOOKS", 0.02)
    monkeypatch.setattr(service, "_SECONDS_TO_ABORT", 0.2)
