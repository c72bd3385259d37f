"""Checks on a CT: can it be quantified, and what should the reader be warned about?"""
