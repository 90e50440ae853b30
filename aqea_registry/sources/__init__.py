"""The way in: places that can supply pinned bytes. A source is never trusted; what it gives is checked against the pin."""
