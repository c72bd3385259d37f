"""Plausibility checks of a CT's lungs, lobes and lesions, whatever their origin."""
