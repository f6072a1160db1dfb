import pytest


@pytest.fixture(scope="module", autouse=True)
def all_narrow(narrow):
    """Let the networks of these tests be narrow."""
