"""Webhooks to tenants: from the topic into Postgres, and from there to their endpoints."""
