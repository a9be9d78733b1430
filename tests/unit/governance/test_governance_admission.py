"""Whose cap is exceeded."""

import pytest

from services.governance.admission import exceeded


@pytest.mark.parametrize(
    ("by_principal", "by_partner", "over"),
    [
        (1, 1, None),
        (3, 30, None),  # exactly as many as there may be, both
        (4, 4, ("This principal", 3)),
        (1, 31, ("This partner", 30)),
        (4, 31, ("This principal", 3)),
    ],
)
def test_the_principals_cap_comes_first(by_principal: int, by_partner: int, over: tuple[str, int] | None) -> None:
    assert exceeded(by_principal, by_partner, 3) == over
