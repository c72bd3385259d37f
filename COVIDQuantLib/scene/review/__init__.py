"""The reader's review of a result: findings, edits, statuses, checks, restoring the AI result."""
