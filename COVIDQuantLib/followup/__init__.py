"""Follow-up of one patient: exams in order, changes, whether they exceed measurement error, and the time course."""
