"""Many runs: the jobs of a multirun, checked first, skipped or gone on with."""
