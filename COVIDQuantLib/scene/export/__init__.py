"""What is shown in the scene, written to files beside the application."""
