"""Engines: programs that compute losses for `tokensieve`, asked over a pipe (docs/engines.md)."""
