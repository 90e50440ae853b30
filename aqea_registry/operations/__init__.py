"""The verbs, one function each. They read and write files and stores; only the command line prints."""
