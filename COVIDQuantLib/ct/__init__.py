"""Reading a chest CT and saying why it is unfit."""
