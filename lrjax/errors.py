"""The one exception type for mistakes that the user can mend."""


class UserError(ValueError):
    """A mistake in the user's input; the message is one sentence with the culprit and the remedy.

    `lrjax.main` prints the message in one line and exits with status 2; every other exception is a bug and keeps its
    traceback.
    """
