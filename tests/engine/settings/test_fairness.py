from __future__ import annotations

import pytest

from engine.errors import ConfigurationError
from engine.settings import load_settings

TENANT = "01920000-0000-7000-8000-00000000000a"


def test_a_tenant_without_a_weight_has_one_and_ids_may_be_written_in_capitals() -> None:
    fairness = load_settings(fairness={"weights": {TENANT.upper(): 2.5}}).fairness
    assert fairness.weight_of(TENANT) == 2.5
    assert fairness.weight_of(TENANT.replace("a", "b")) == 1.0


@pytest.mark.parametrize("weights", [{"not an id": 2}, {TENANT: 0}, {TENANT: 1001}])
def test_weights_that_temporal_would_change_and_ids_that_are_none_are_refused(weights: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="FAIRNESS"):
        load_settings(fairness={"weights": weights})
