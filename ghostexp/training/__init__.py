"""What a training needs besides a network: losses, schedules, callbacks, loggers."""
