"""The widgets as Qt has them: what is asked of Qt itself, tables, and widgets that show a parameter."""
