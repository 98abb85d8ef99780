"""The errors that a user can meet, and the exit code of each.

    AtinukeError                 exit 2: the user can mend it
    ├── ConfigError              a setting, a flag, or two that contradict each other
    ├── SourceError              a SOURCE that is missing, unreadable, or gives too little text
    ├── RunFolderError           a run folder that is missing, foreign, or full
    │   └── DamagedFileError     a file whose bytes are not those that were written
    ├── NonFiniteLossError       training met NaN or infinity and stopped before the update
    ├── LostProcessError         one of several processes that train together has ended
    └── MissingExtraError        an optional library that the request needs
    Interrupted                  exit 130: stopped by Ctrl-C or SIGTERM, state saved

A message says what was expected, what came, where it was set and what to do. Anything that is not an
`AtinukeError` is our own fault and ends with a traceback and exit code 1.
"""


class AtinukeError(Exception):
    """Something that the user can mend; its text is one line (long lists may follow on lines of their own)."""

    exit_code = 2


class ConfigError(AtinukeError):
    """A setting that is unknown, out of range, or contradicts another."""


class SourceError(AtinukeError):
    """A SOURCE that is missing, empty, unreadable, not text, or too short."""


class RunFolderError(AtinukeError):
    """A run folder that is missing, of another model, or cannot be written."""


class DamagedFileError(RunFolderError):
    """A file whose checksum, length or content is not what was written."""


class NonFiniteLossError(AtinukeError):
    """The loss became NaN or infinite; nothing was updated from it."""


class LostProcessError(AtinukeError):
    """Another process of the same training has ended, and this one cannot go on without it."""


class MissingExtraError(AtinukeError):
    """An optional library is not installed. `for_extra` builds the usual sentence."""

    @classmethod
    def for_extra(cls, needed_for: str, extra: str) -> "MissingExtraError":
        """The error for a request that only `pip install 'atinuke[extra]'` can serve."""
        return cls(f"{needed_for} needs an optional library; install it with: pip install 'atinuke[{extra}]'")


class Interrupted(Exception):
    """Training was stopped from outside; the message says what was saved and how to go on."""

    exit_code = 130
