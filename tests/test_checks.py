"""Error messages state what is wrong, what was expected and what was received."""

from __future__ import annotations

import re

import numpy as np
import pytest

from keras_s2s.checks import (
    check_bool,
    check_choice,
    check_int,
    check_ints,
    check_number,
    check_positive_int,
    short_repr,
)


@pytest.mark.parametrize("value", [1, 7, np.int64(7), np.uint8(1)])
def test_a_positive_integer_comes_back_as_an_int(value):
    assert check_positive_int("beam_width", value) == value
    assert type(check_positive_int("beam_width", value)) is int


@pytest.mark.parametrize(
    "value", [0, -1, True, 2.0, np.float32(2), "2", None, [2], np.array([2, 3])]
)
def test_other_values_than_positive_integers_are_rejected(value):
    message = f"`beam_width` must be a positive integer. Received: beam_width={value!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_positive_int("beam_width", value)


def test_an_integer_has_the_minimum_and_the_wording_that_are_asked_for():
    assert check_int("seed", -3, minimum=-3) == -3
    with pytest.raises(ValueError, match=r"^`seed` must be an integer of at least -3\."):
        check_int("seed", -4, minimum=-3)
    with pytest.raises(ValueError, match=r"^`seed` must be something else\."):
        check_int("seed", -4, minimum=-3, expected="something else")


@pytest.mark.parametrize("value", [0, 0.5, 1, np.float32(0.5), np.array(0.25)])
def test_a_number_comes_back_as_a_float(value):
    assert check_number("dropout", value, minimum=0, maximum=1) == value
    assert type(check_number("dropout", value, minimum=0, maximum=1)) is float


@pytest.mark.parametrize(
    "value", [-0.1, 1.1, float("nan"), float("inf"), True, "0.5", b"1", None, [0.1, 0.2]]
)
def test_other_values_than_numbers_in_range_are_rejected(value):
    message = f"`dropout` must be a number between 0 and 1. Received: dropout={value!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_number("dropout", value, minimum=0, maximum=1)


def test_an_integer_too_large_for_a_float_is_rejected():
    with pytest.raises(ValueError, match="`dropout` must be a number between 0 and 1"):
        check_number("dropout", 10**400, minimum=0, maximum=1)


def test_a_number_may_have_no_maximum():
    assert check_number("length_penalty", 1e30, minimum=0.5) == 1e30
    message = r"`length_penalty` must be a number of at least 0\.5\. Received: length_penalty=0"
    with pytest.raises(ValueError, match=message):
        check_number("length_penalty", 0, minimum=0.5)
    with pytest.raises(ValueError, match=r"must be a number of at least 0\.5\..*=inf"):
        check_number("length_penalty", float("inf"), minimum=0.5)
    with pytest.raises(ValueError, match="`length_penalty` must be heavier"):
        check_number("length_penalty", 0, minimum=0.5, expected="heavier")


def test_limits_may_be_excluded():
    assert check_number("top_p", 0.5, above=0, maximum=0.5) == 0.5
    message = r"^`top_p` must be a number above 0 and at most 0\.5\. Received: top_p=0$"
    with pytest.raises(ValueError, match=message):
        check_number("top_p", 0, above=0, maximum=0.5)
    with pytest.raises(ValueError, match=r"must be a number of at least 0 and below 1\. .*=1"):
        check_number("label_smoothing", 1, minimum=0, below=1)


def test_a_list_of_integers_comes_back_as_a_tuple():
    assert check_ints("ids", np.array([4, 5]), minimum=4) == (4, 5)
    with pytest.raises(TypeError, match=r"^`ids` must be a list of integers\. Received: ids=5$"):
        check_ints("ids", 5, minimum=0)
    with pytest.raises(ValueError, match=r"^`ids\[1\]` must be an integer of at least 4"):
        check_ints("ids", [4, 3], minimum=4)


def test_a_choice_must_be_one_of_the_choices():
    assert check_choice("attention", None, (None, "luong")) is None
    assert check_choice("attention", "luong", iter((None, "luong"))) == "luong"
    message = r"^`attention` must be one of None, 'luong'\. Received: attention='dot'$"
    with pytest.raises(ValueError, match=message):
        check_choice("attention", "dot", (None, "luong"))
    with pytest.raises(ValueError, match=r"Received: attention=\['luong'\]"):
        check_choice("attention", ["luong"], {None, "luong"})


def test_a_value_in_a_message_is_short_whatever_its_size():
    values = ["x" * 10**6, b"x" * 10**6, 10**5000, list(range(10**6)), {"a": {"b": ["c" * 999]}}]
    assert max(len(short_repr(value)) for value in values) < 130
    assert short_repr(["a", None]) == "['a', None]"


@pytest.mark.parametrize("value", [True, False, np.True_, np.bool_(0)])
def test_a_bool_comes_back_as_a_bool(value):
    assert check_bool("shuffle", value) is bool(value)


@pytest.mark.parametrize("value", ["no", 1, 0.0, None, [], np.array(True)])
def test_other_values_than_bools_are_rejected(value):
    message = f"`shuffle` must be True or False. Received: shuffle={value!r}"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check_bool("shuffle", value)
