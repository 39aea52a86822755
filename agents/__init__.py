"""The stages: Faust apps that take work from a topic, claim it in Postgres and do it.

The topic delivers work, Postgres owns it from the claim on, and a stage acknowledges only what
Postgres has recorded. A stage is a process of its own: it lags, scales, deploys and fails alone.
"""
