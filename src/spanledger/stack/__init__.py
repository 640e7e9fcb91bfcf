"""Collectors, Jaeger, Prometheus and Alertmanager on one machine, without containers: found or built, configured, started, stopped."""
