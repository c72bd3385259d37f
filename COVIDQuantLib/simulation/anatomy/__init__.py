"""The phantom's body: shapes computed from a seed."""
