"""The broker's jars: which ones (`kafka.lock`), where they are kept, and that they are the reviewed ones.

Each line of `kafka.lock` is `group:artifact:version sha256`: the whole closure of the broker, resolved once by
`relock` and committed. At start jgo fetches exactly these by their Maven coordinates, nothing is resolved; a jar with
another checksum is refused, also when it lies in the cache already.
"""

import fcntl
import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory

import platformdirs

from infra.embedded.errors import JarRefused

BROKER = "org.apache.kafka:kafka_2.13:4.2.2"  # 4.3 and 4.4 can forget transactions: docs/decisions/005
# Kafka brings log4j, but nothing that leads its own log calls (slf4j 1.7) there. Added without its closure: resolved
# in one go with the broker, jgo takes kafka-clients and others from the binding's managed versions, and the broker
# does not start.
BINDING = ("org.apache.logging.log4j", "log4j-slf4j-impl", "2.25.5")
LOCK = "kafka.lock"
DOWNLOADS_AT_ONCE = 4
ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Jar:
    """One Java archive by its Maven coordinates, and the SHA-256 (hex) it must have."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def coordinates(self) -> str:
        """As Maven writes them."""
        return f"{self.group}:{self.artifact}:{self.version}"

    def path(self, cache: Path) -> Path:
        """Where it lies in a Maven repository layout."""
        return cache.joinpath(
            *self.group.split("."), self.artifact, self.version, f"{self.artifact}-{self.version}.jar"
        )


def locked() -> tuple[Jar, ...]:
    """The jars of `kafka.lock`, in its order (which is the order on the class path)."""
    text = resources.files("infra.embedded").joinpath(LOCK).read_text()
    lines = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    return tuple(_jar(coordinates, sha256) for coordinates, sha256 in lines)


def _jar(coordinates: str, sha256: str) -> Jar:
    group, artifact, version = coordinates.split(":")
    return Jar(group, artifact, version, sha256)


def cache_folder() -> Path:
    """The per-user cache, or what METERLOG_CACHE says."""
    chosen = os.environ.get("METERLOG_CACHE")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("meterlog"))


def class_path(announce: Callable[[str], None] = lambda _: None) -> str:
    """The broker's class path, after every jar was found or fetched and checked.

    `announce` hears that a download begins. Raises JarRefused.
    """
    cache = cache_folder() / "maven"
    jars = locked()
    with alone(cache):
        missing = [jar for jar in jars if not jar.path(cache).exists()]
        if missing:
            announce(f"fetching Apache Kafka ({len(missing)} of {len(jars)} jars, about 55 MB, once)")
            with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
                list(pool.map(lambda jar: _fetch(jar, cache), missing))
        for jar in jars:
            _check(jar, cache)
    return os.pathsep.join(str(jar.path(cache)) for jar in jars)


def relock() -> str:
    """Resolve the broker's closure anew and return the text of `kafka.lock`. Needs the network; the result is
    reviewed.
    """
    import jgo
    from jgo.maven import MavenContext

    with TemporaryDirectory() as folder:
        environment = jgo.build(BROKER, cache_dir=Path(folder))
        if environment.lockfile is None:
            raise JarRefused(f"jgo resolved {BROKER} without a lock file")
        jars = [
            Jar(one.groupId, one.artifactId, one.version, str(one.sha256)) for one in environment.lockfile.dependencies
        ]
        group, artifact, version = BINDING
        binding = MavenContext().project(group, artifact).at_version(version).artifact().resolve()
        jars.append(Jar(*BINDING, hashlib.sha256(binding.read_bytes()).hexdigest()))
    head = [
        f"# {BROKER} and all it needs, with {':'.join(BINDING)}",
        f"# Written by: python -m infra.embedded.jars > {LOCK}",
    ]
    return "\n".join([*head, *sorted(f"{jar.coordinates} {jar.sha256}" for jar in jars)]) + "\n"


@contextmanager
def alone(cache: Path) -> Iterator[None]:
    """Hold the cache's lock: two stacks that start on an empty cache must not write the same file."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        handle = (cache / ".lock").open("w")
    except OSError as error:
        raise JarRefused(
            f"the cache folder {cache} cannot be written ({error}): set METERLOG_CACHE to another one"
        ) from error
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _fetch(jar: Jar, cache: Path) -> None:
    from jgo.maven import MavenContext

    context = MavenContext(repo_cache=cache, timeout=60)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
            return
        except (OSError, RuntimeError) as error:
            jar.path(cache).unlink(missing_ok=True)
            if attempt == ATTEMPTS:
                raise JarRefused(f"{jar.coordinates} could not be fetched from Maven Central: {error}") from error


def _check(jar: Jar, cache: Path) -> None:
    found = hashlib.sha256(jar.path(cache).read_bytes()).hexdigest()
    if found != jar.sha256:
        jar.path(cache).unlink()
        raise JarRefused(
            f"{jar.coordinates} has SHA-256 {found}, {LOCK} wants {jar.sha256}: the file was removed from {cache}, "
            "start again; if it happens twice, what you are given is not the released jar"
        )


if __name__ == "__main__":
    sys.stdout.write(relock())
