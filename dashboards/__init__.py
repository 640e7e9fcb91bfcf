"""Grafana dashboards, generated: ``python -m dashboards.generate`` in the root of the repository."""
