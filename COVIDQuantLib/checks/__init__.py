"""Can this result be right? A table of checks on a CT and its lungs, lobes and lesions, whoever made them."""
