"""Keeps personal data and secrets out of telemetry: what a name says (``keys``), what a text holds (``detectors``), what is written instead (``redactor``)."""
