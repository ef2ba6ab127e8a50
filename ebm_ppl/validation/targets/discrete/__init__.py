"""Ground-truth targets on finitely many states: every module here exports its own as `TARGETS`."""
