"""Networks on a CT: what they are given and what is made of their answer."""
