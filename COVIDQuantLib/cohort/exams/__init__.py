"""One exam of a batch: its images, its making on a worker, its record, its state and its log."""
