"""The validator's rules, one function each: S from the manifest alone, R from the running model."""
