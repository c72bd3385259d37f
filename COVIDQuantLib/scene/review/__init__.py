"""What a reader does to the result: findings, edits, statuses, checks, and the way back."""
