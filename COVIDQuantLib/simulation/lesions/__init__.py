"""Pneumonia: one model for the phantom and one for training, with no lesion code in common.

Two models on purpose. Networks are trained on the lesions of ``training_*`` and evaluated on those of
``phantom_lesions``: a network evaluated on the lesions that it was trained on would be rewarded for what is particular
to their code. Both use ``fields/``; neither imports the other.
"""
