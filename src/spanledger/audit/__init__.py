"""Audit records: what has gone wrong with the books, written once, in a chain that shows every later change."""
