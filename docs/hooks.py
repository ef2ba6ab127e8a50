"""Brings along what pages would otherwise load from elsewhere: formulas, and search without a server."""

import pathlib
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

CACHE = pathlib.Path(__file__).parents[1] / ".cache" / "npm"

PACKAGES = {
    "katex@0.16.47": r"LICENSE|dist/(katex\.min\.(css|js)|contrib/auto-render\.min\.js|fonts/.*\.woff2)",
    "iframe-worker@1.0.4": r"LICENSE|shim/index\.js",
}
"""Packages of the npm registry, and the files of each that a page needs."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the packages' files to the site, as `npm/<package>/<path in the package>`."""
    for package, needed in PACKAGES.items():
        name = package.partition("@")[0]
        for path, content in _contents(_archive(package)):
            if re.fullmatch(needed, path):
                files.append(File.generated(config, f"npm/{name}/{path}", content=content))
    return files


def _contents(archive: pathlib.Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(archive) as members:
        for member in members:
            if (file := members.extractfile(member)) is not None:
                yield member.name.removeprefix("package/"), file.read()


def _archive(package: str) -> pathlib.Path:
    """The package's archive, which is fetched once."""
    archive = CACHE / f"{package}.tgz"
    if not archive.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            _fetch(package, folder).replace(archive)  # whole or not at all
    return archive


def _fetch(package: str, folder: str) -> pathlib.Path:
    npm = shutil.which("npm")
    if npm is None:
        raise PluginError(
            f"The site brings {package} along, which `npm` fetches, and there is no `npm` on the path. "
            "Install Node.js, which has it."
        )
    command = [npm, "pack", package, "--loglevel=error", "--pack-destination", folder]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        said = f"{run.stdout}{run.stderr}".strip()
        raise PluginError(f"`npm pack {package}` failed, and the site needs that package. {said}")
    return next(pathlib.Path(folder).glob("*.tgz"))
