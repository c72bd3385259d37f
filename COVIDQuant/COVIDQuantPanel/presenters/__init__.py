"""What the sections show and allow, decided without Qt and without a scene."""
