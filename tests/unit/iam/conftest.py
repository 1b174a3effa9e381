from collections.abc import Iterator
from pathlib import Path

import pytest

from borealis.iam import IamReader, IamStore
from tests.unit.iam.installation import installation


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[tuple[IamStore, IamReader]]:
    with installation(tmp_path / "control") as pair:
        yield pair


@pytest.fixture
def store(opened: tuple[IamStore, IamReader]) -> IamStore:
    return opened[0]


@pytest.fixture
def reader(opened: tuple[IamStore, IamReader]) -> IamReader:
    return opened[1]
