"""The checks: functions of a subject that return a `CheckResult`, each with a stated error rate."""
