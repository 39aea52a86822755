"""Benchmarks of the whole platform at work; README.md says what is measured and how to repeat it.

A benchmark is a module with `measure(target, seconds)`, which returns figures. Each runs
against a platform that somebody else started, so that a tiny run of it can be a test.
"""
