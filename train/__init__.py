"""The entry script: python -m train COMMAND."""
