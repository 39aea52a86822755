"""Payment providers: the gateways that speak to them.

Nothing here imports `store`, `agents` or `api`; a gateway turns a provider's answer into an
outcome of `payments.outcome` and decides nothing else.
"""
