"""Keeps personal data and secrets out of telemetry.

``keys`` knows what a name says, ``detectors`` what a text holds, ``redactor`` puts labels in their place.
"""
