"""From a CT to lungs, five lobes and lesions, without a scene."""
