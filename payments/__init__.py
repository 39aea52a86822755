"""The pure core: what a payment is and what may happen to it.

Nothing here awaits, reads a clock, draws randomness, does I/O or logs. Every
decision is a function of the present state, a command, the time and the ids it
is handed, so it can be replayed, tested as a table and reasoned about alone.
"""
