"""The same searches, written as the documentation of other tools has it."""
