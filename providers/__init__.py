"""Payment providers: the gateways that speak to them and the simulator that stands in for them.

Nothing here imports `store`, `agents` or `api`; a gateway turns a provider's answer into an
outcome of `payments.outcome` and decides nothing else.
"""
