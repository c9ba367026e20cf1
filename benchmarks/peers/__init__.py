"""Other systems and bare loops to compare with."""
