"""How fast and how large, as ratios against a peer that was measured in the same run."""
