"""Folders in which nobody else may write, so that what lies there can be believed.

Standard library only, and no newer than Python 3.7.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from .inplace import home

OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
OTHERS_ENTER = stat.S_IXGRP | stat.S_IXOTH


def own_folder(kind: str, *names: str) -> Path | None:
    """A folder of this user's own in the cache, made if need be.

    Parameters
    ----------
    kind
        What is kept there.
    names
        Of folders below it.

    Returns
    -------
        None where there is none that nobody else may write in. It may be read-only.
    """
    folders = [home() / "cache" / kind / str(os.geteuid())]
    folders += [folders[0].joinpath(*names[:count]) for count in range(1, len(names) + 1)]
    try:
        for folder in folders:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = [folder.stat() for folder in folders]
    except OSError:
        return None
    safe = all(each.st_uid == os.geteuid() and not each.st_mode & OTHERS_WRITE for each in found)
    return folders[-1] if safe else None


def only_its_owner_fills(folder: Path, name: str) -> bool:
    """Whether what a folder in another one holds is of that one's owner's making.

    Permissions say it, from the root down: a folder that no other may enter shuts off what is in
    it, and in a sticky one above others may write, and rename nothing of anybody else.

    Parameters
    ----------
    folder
        The outer one.
    name
        Of the inner one, which needn't be there.
    """
    real = Path(os.path.realpath(str(folder)))
    try:
        above = [each.stat() for each in reversed(real.parents)]
        inner = [each.lstat() for each in (real, real / name) if os.path.lexists(str(each))]
    except OSError:
        return False
    for each in (*above, *inner):
        if not each.st_mode & OTHERS_ENTER:
            return True
        sticky = each in above and each.st_mode & stat.S_ISVTX
        if each.st_mode & OTHERS_WRITE and not sticky:
            return False
    return bool(inner) and inner[-1].st_uid in (os.geteuid(), 0, inner[0].st_uid)
