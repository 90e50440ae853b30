"""The way out: places where releases live. A store is asked, written and read back; what it says is checked."""
