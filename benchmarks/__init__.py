"""How fast tokenlatch is, beside its peers and the physical limit, in the same run on the same machine."""
