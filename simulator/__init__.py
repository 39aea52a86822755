"""A stateful HTTP server that answers as the payment providers do, and reports what it did.

`python -m simulator` serves every vendor's endpoints from one port. Every request and every effect
stands in its journal, on disk, before the answer leaves, so that what the journal says is what a
client may have been told, whatever was killed in between. Its test cards, magic amounts and
scripted faults are described in docs/providers.md.
"""
