import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from atinuke.data.census import first_of_each


@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 5)))
def test_the_first_of_each_value_is_told_from_its_repetitions(values: list[int]) -> None:
    expected = [values.index(value) == place for place, value in enumerate(values)]
    assert first_of_each(np.array(values, dtype=np.uint64)).tolist() == expected
