"""What readers add to a result: their rating and the quality gate, the record of edits, and reading aids."""
