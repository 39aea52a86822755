"""Every safeguard removed, one at a time, to see a test go red: `python -m tests.ablations`."""
