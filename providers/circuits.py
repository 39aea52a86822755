"""The circuits of a provider: what it is asked for through one says nothing of the others."""

from typing import Final

from payments.outcome import Operation

INQUIRE: Final = "inquire"
# An authorization is a charge that is captured later.
_CIRCUITS: Final = {
    Operation.CHARGE: "charge",
    Operation.AUTHORIZE: "charge",
    Operation.CAPTURE: "capture",
    Operation.VOID: "void",
    Operation.REFUND: "refund",
}
# All of them: of each operation, and that of questions.
CIRCUITS: Final = (*dict.fromkeys(_CIRCUITS.values()), INQUIRE)


def circuit_of(operation: Operation) -> str:
    """The circuit that an operation is asked through."""
    return _CIRCUITS[operation]


def operations_through(circuit: str) -> tuple[Operation, ...]:
    """What is asked through a circuit."""
    return tuple(each for each, through in _CIRCUITS.items() if through == circuit)
