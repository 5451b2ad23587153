"""Worker processes, where strangers' source runs: `lockdown` closes them, `pool` shares them, `executor` uses them."""
