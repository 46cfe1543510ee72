"""What git holds of a run, checked again, and the texts and pages that are read from it."""


class PublishError(RuntimeError):
    """What cannot be published, rebuilt or shown, and what to do about it."""
