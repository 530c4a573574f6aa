"""Fetch the data sets whose terms allow it, checked by their published checksum."""

from __future__ import annotations

import shutil
import stat
import tempfile
import zipfile
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from segmentation.files import make_folder, write_error
from stages.data.catalogue import Download, find_dataset
from stages.data.problems import BROKEN_ZIP, BadFileError, Problem, is_full, show
from stages.errors import DataError

__all__ = ["fetch", "get_dataset", "unpack"]

_TIMEOUT = 30.0


def get_dataset(name: str, folder: Path, variant: str | None = None) -> Path:
    """Fetch a data set into `folder`.

    Args:
        name: Name in the catalogue.
        folder: Where to put it; made if missing.
        variant: Which file, where there are several (`"28"`, `"224"`); the first if None.

    Returns:
        The file, or the folder that its archive was unpacked to.

    Raises:
        DataError: If the data set must be obtained by hand (the message says how), the variant is unknown, or `fetch`
            fails.
    """
    dataset = find_dataset(name)
    if not dataset.downloads:
        raise DataError(f"Expected `{name}` to be free to download, but its terms or a missing checksum forbid it; "
                        f"do obtain it by hand: {dataset.obtain}")  # fmt: skip
    variants = {download.variant: download for download in dataset.downloads}
    if variant is None:
        return fetch(dataset.downloads[0], folder)
    if variant not in variants:
        raise DataError(
            f"Expected `--variant` to be one of {', '.join(variants)}, but got {variant!r}; do choose one."
        )
    return fetch(variants[variant], folder)


def fetch(download: Download, folder: Path) -> Path:
    """Fetch one file, check it, and unpack it where it is an archive.

    The file is written under a temporary name and moved when its checksum fits, so a broken connection leaves nothing
    behind that looks complete. A file that is already there with the right checksum is not fetched again.

    Raises:
        DataError: If the network fails or the checksum does not fit.
        WriteError: If the folder cannot be written.
    """
    import pooch

    responses: list[Any] = []
    # pooch leaves the response of a broken connection open; the hook hands it out so that it can be closed.
    keep = {"response": lambda response, **_: responses.append(response)}

    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel("ERROR")  # its progress lines would mix with `--json`
    try:
        make_folder(folder)
        path = Path(
            pooch.retrieve(
                download.url,
                known_hash=download.checksum,
                fname=download.file,
                path=folder,
                downloader=pooch.HTTPDownloader(timeout=_TIMEOUT, hooks=keep),
            )
        )
    except ValueError as error:  # pooch says so when the hash does not fit
        got, todo = (
            "other bytes",
            "try again; if it stays so, the source has changed or the connection is tampered with",
        )
        raise BadFileError(Problem(download.url, f"a file with {download.checksum}", got, todo)) from error
    except OSError as error:
        if error.errno is not None:
            raise write_error(folder / download.file, error) from error
        # Errors of the network are `requests.RequestException`s: OSErrors without an error number.
        got = f"a network error ({type(error).__name__})"
        todo = f"try again, or fetch it elsewhere and put it there as `{download.file}`"
        raise BadFileError(Problem(download.url, f"fetched into `{show(folder)}`", got, todo)) from error
    finally:
        logger.setLevel(level)
        for response in responses:
            response.close()
    return unpack(path, folder / path.stem) if download.unpack else path


def unpack(archive: Path, target: Path) -> Path:
    """Unpack a zip archive into `target`, all or nothing.

    Raises:
        DataError: If it is no zip or damaged, a member would land outside `target` or is a link, or `target` exists.
        WriteError: If `target` cannot be written.
    """
    if target.exists():
        raise BadFileError(
            Problem(show(target), "new", "something that exists", "move it away or use it as it is")
        )
    make_folder(target.parent)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=".unpack-"))
    try:
        with zipfile.ZipFile(archive) as opened:
            for member in opened.infolist():
                _refuse_escape(archive, member)
            opened.extractall(temporary)
        temporary.chmod(0o755)
        temporary.rename(target)
    except BadFileError:
        raise
    except BROKEN_ZIP as error:
        if is_full(error):
            raise write_error(target, error) from error
        got = f"a damaged one ({show(str(error)[:80])})"
        raise BadFileError(Problem(show(archive), "a complete zip archive", got, "fetch it again")) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _refuse_escape(archive: Path, member: zipfile.ZipInfo) -> None:
    """Raise if a member would be written outside the folder, or is a link that could lead there."""
    name = member.filename
    outside = any(
        path.is_absolute() or path.anchor or ".." in path.parts
        for path in (PurePosixPath(name), PureWindowsPath(name))
    )
    if outside or stat.S_ISLNK(member.external_attr >> 16):
        got = f"the member `{show(name)}`"
        raise BadFileError(
            Problem(show(archive), "an archive that stays in its folder", got, "do not use this archive")
        )
