"""The tests, by what they need.

unit needs nothing, integration needs the embedded servers, acceptance runs the real processes,
kafka needs a JDK, and project looks at the repository itself. A package only here at the top,
because a library that ships its own `tests` must not stand before ours.
"""
