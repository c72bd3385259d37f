"""The report's pictures and charts, each as the bytes of an image."""
