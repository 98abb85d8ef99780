"""Where the two sides of a split lie in a folder: train.de and train.en, or one table of both."""

import re
from pathlib import Path

from atinuke.data.archives import without_compression
from atinuke.errors import SourceError
from atinuke.run_folder import printable

TABLES = (".tsv", ".csv", ".tab", ".jsonl")
SAME = {"dev": ("dev", "val", "valid", "validation")}
"""What else a split is called."""


def find_pair_files(data: Path, split: str, sides: tuple[str, str] | None = None) -> tuple[str, ...]:
    """Source and target of `split`, or one table of both.

    `data`: a folder, or FOLDER:de-en, which says which endings are source and target; `sides` are those where that is
    not said. SourceError says what is there instead.
    """
    folder, named = _parts(data)
    sides = named or sides
    if not folder.is_dir():
        raise SourceError(f"{printable(folder)} is no folder; expected one with files such as train.de and train.en.")
    files = {without_compression(path.name): path for path in sorted(folder.iterdir()) if path.is_file()}
    for name in SAME.get(split, (split,)):
        if sides is not None and all(f"{name}.{side}" in files for side in sides):
            return tuple(str(files[f"{name}.{side}"]) for side in sides)
        for ending in TABLES if named is None else ():
            if f"{name}{ending}" in files:
                return (str(files[f"{name}{ending}"]),)
    hint = "" if sides is not None else f" Say which is the source: {printable(folder)}:de-en."
    raise SourceError(
        f"{printable(folder)} has no pairs of the split {split}; expected "
        f"{' and '.join(f'{split}.{side}' for side in sides or ('de', 'en'))}, or {split}.tsv. "
        f"There are {', '.join(files) or 'no files'}.{hint}"
    )


def _parts(data: Path) -> tuple[Path, tuple[str, str] | None]:
    found = re.fullmatch(r"(.+):([\w]+)-([\w]+)", str(data))
    if found is None or data.is_dir():
        return data, None
    return Path(found[1]), (found[2], found[3])
