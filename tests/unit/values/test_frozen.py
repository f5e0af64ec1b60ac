"""`frozen` classes behave as frozen dataclasses do: each promise is checked on both."""

import copy
import dataclasses
import pickle
from dataclasses import FrozenInstanceError, dataclass, field, replace

import pytest

from composer.frozen import frozen


@frozen
class Ours:
    a: int
    b: str = "b"
    c: dict = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Theirs:
    a: int
    b: str = "b"
    c: dict = field(default_factory=dict)


@frozen(kw_only=True)
class Base:
    reason: str = ""


@frozen(kw_only=True)
class Derived(Base):
    name: str

    @property
    def key(self) -> str:
        return f"{self.name}:{self.reason}"


both = pytest.mark.parametrize("kind", [Ours, Theirs])


@both
def test_construction(kind) -> None:
    made = kind(1, c={"x": 1})
    assert (made.a, made.b, made.c) == (1, "b", {"x": 1})
    assert kind(1).c is not kind(1).c


@both
@pytest.mark.parametrize(
    ("args", "kwargs"), [((), {}), ((1, 2, 3, 4), {}), ((1,), {"a": 1}), ((1,), {"z": 1}), ((), {"b": "x"})]
)
def test_wrong_arguments_are_type_errors(kind, args, kwargs) -> None:
    with pytest.raises(TypeError):
        kind(*args, **kwargs)


@both
def test_equality_and_representation(kind) -> None:
    assert kind(1) == kind(1, "b", {})
    assert kind(1) != kind(2)
    assert kind(1) != "something else"
    assert repr(kind(1)) == f"{kind.__name__}(a=1, b='b', c={{}})"


def test_two_classes_with_the_same_fields_differ() -> None:
    assert Ours(1) != Theirs(1)


def test_hash_goes_with_equality() -> None:
    assert hash(Derived(name="x")) == hash(Derived(name="x"))
    assert len({Derived(name="x"), Derived(name="x"), Derived(name="y")}) == 2


@both
def test_nothing_can_be_changed_or_added(kind) -> None:
    made = kind(1)
    with pytest.raises(FrozenInstanceError):
        made.a = 2
    with pytest.raises(FrozenInstanceError):
        del made.a
    with pytest.raises((FrozenInstanceError, TypeError, AttributeError)):
        made.other = 1
    assert not hasattr(made, "__dict__")


@both
def test_the_dataclasses_module_knows_them(kind) -> None:
    assert dataclasses.is_dataclass(kind)
    assert [entry.name for entry in dataclasses.fields(kind)] == ["a", "b", "c"]
    assert replace(kind(1), a=5) == kind(5)
    assert dataclasses.asdict(kind(1)) == {"a": 1, "b": "b", "c": {}}
    match kind(7, "z"):
        case kind(a, b):
            assert (a, b) == (7, "z")


@both
def test_copies_and_pickles(kind) -> None:
    made = kind(1, c={"x": [1]})
    assert copy.copy(made) == made
    assert copy.deepcopy(made) == made
    assert copy.deepcopy(made).c is not made.c
    assert pickle.loads(pickle.dumps(made)) == made


def test_keyword_only_fields_and_inheritance() -> None:
    made = Derived(name="x", reason="because")
    assert made.key == "x:because"
    assert replace(made, name="y").key == "y:because"
    with pytest.raises(TypeError):
        Derived("x")
