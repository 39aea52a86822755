"""Alerts and panels asked of scraped samples, as Prometheus would answer."""
