"""The paper's benchmark: readers, protocols, a runner that can be resumed, and its tables."""
