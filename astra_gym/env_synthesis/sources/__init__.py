"""The doors: each source turns records of one kind into env specs that are not yet certified, or says why not."""
