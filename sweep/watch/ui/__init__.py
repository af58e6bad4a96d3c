"""The live web page of `sweep ui`: studies and models of this machine, in its own browser."""
